//! Holds the tables of `.docs/clocks.md` to the code: each row is computed anew and compared with
//! what the page says. With `ECAF_WRITE_PAGES=1` the page is written instead.

use std::fs;
use std::path::PathBuf;

use ecaf::domain::calendar::{
    AuthorityHours, BankHolidays, Calendars, SchoolCalendar, SchoolDays, Term, after_business_time,
    computed, easter_sunday,
};
use ecaf::domain::clocks::{
    ClockId, Dispatch, Fact, Setting, Step, Thread, What, home_time_limit, ladder, read,
    standard_limit,
};
use ecaf::domain::hours::{Hours, england_instant, england_text};
use ecaf::domain::party::{DfeCode, Organisation, SchoolId};
use ecaf::domain::referral::{RequestType, Urgency};
use ecaf::domain::time::{Date, HOUR, MINUTE, Timestamp};

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".docs/clocks.md")
}

/// `Mon 23 Nov 2026 10:00`, in England.
fn shown(at: Timestamp) -> String {
    let text = england_text(at);
    let (day, time) = text.rsplit_once(' ').unwrap();
    format!("{day} {} {time}", at.in_england().0.year())
}

/// The instant of what [`shown`] writes.
fn instant(text: &str) -> Timestamp {
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time] = parts[..] else { panic!("not a time: {text}") };
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let month = months.split(' ').position(|m| m == month).expect("a month") + 1;
    let date = Date::new(year.parse().unwrap(), month as u8, day.parse().unwrap()).unwrap();
    let (hour, minute) = time.split_once(':').unwrap();
    let minutes = hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap();
    let at = england_instant(date, minutes);
    assert_eq!(shown(at), text, "the weekday is wrong, or there is no such time");
    at
}

fn date(text: &str) -> Date {
    instant(&format!("{text} 12:00")).in_england().0
}

fn day_text(day: Date) -> String {
    shown(england_instant(day, 12 * 60)).rsplit_once(' ').unwrap().0.to_owned()
}

fn minutes(text: &str) -> u16 {
    let (hour, minute) = text.split_once(':').unwrap();
    hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
}

fn yes(yes: bool) -> String {
    (if yes { "yes" } else { "no" }).to_owned()
}

/// The school of the examples, as the page describes it.
fn school() -> SchoolCalendar {
    let term = |first, last| Term { first: date(first), last: date(last) };
    SchoolCalendar {
        terms: vec![
            term("Thu 3 Sep 2026", "Fri 23 Oct 2026"),
            term("Mon 2 Nov 2026", "Fri 18 Dec 2026"),
            term("Mon 4 Jan 2027", "Fri 12 Feb 2027"),
        ],
        inset: vec![date("Fri 27 Nov 2026"), date("Mon 4 Jan 2027")],
        half_days: vec![(date("Fri 18 Dec 2026"), 12 * 60 + 30)],
        closures: vec![(date("Mon 30 Nov 2026"), date("Tue 1 Dec 2026"))],
        home_time: Some(15 * 60 + 15),
        opens: None,
    }
}

/// What a row of a table should say, from the cells that are given. Which table it is, the title of
/// its first column says.
fn row(title: &str, cells: &[String]) -> Vec<String> {
    let holidays = BankHolidays::default();
    match title {
        "year" => {
            let year: i32 = cells[0].parse().unwrap();
            let days = holidays.days().iter().filter(|d| d.year() == year);
            let days: Vec<String> = days
                .map(|d| day_text(*d))
                .map(|text| text.rsplit_once(' ').unwrap().0.to_owned())
                .collect();
            let sure = if holidays.provisional(year) { "provisional" } else { "published" };
            let easter = day_text(easter_sunday(year).unwrap());
            let easter = easter.rsplit_once(' ').unwrap().0.to_owned();
            assert!(!holidays.provisional(year) || computed(year).len() == days.len());
            vec![cells[0].clone(), sure.to_owned(), easter, days.join(", ")]
        }
        "received" => {
            let at = instant(&cells[0]);
            let cut_off = (cells[1] != "none").then(|| minutes(&cells[1]));
            let day = holidays.day_of_receipt(at, cut_off);
            let end = holidays.end_of_working_days(day, cells[2].parse().unwrap());
            vec![cells[0].clone(), cells[1].clone(), cells[2].clone(), day_text(day), shown(end)]
        }
        "begun" => {
            let hours: Hours = cells[1].parse().unwrap();
            let millis = cells[2].strip_suffix(" h").unwrap().parse::<i64>().unwrap() * HOUR;
            let end = after_business_time(instant(&cells[0]), millis, Some(&hours), &holidays);
            vec![cells[0].clone(), cells[1].clone(), cells[2].clone(), shown(end)]
        }
        "told at" => {
            let calendar = school();
            let days = SchoolDays { calendar: &calendar, bank_holidays: &holidays };
            let at = instant(&cells[0]);
            let today = at.in_england().0;
            let home = days.before_home_time(today, 60).map_or("-".to_owned(), shown);
            let what = days.kind(today).as_str().to_owned();
            let next = [shown(days.three_pm_next(at)), shown(days.three_pm_next_full(at))];
            let [next, full] = next;
            vec![cells[0].clone(), what, home, next, full]
        }
        "sent" => {
            let (at, home) = (instant(&cells[0]), instant(&cells[1]));
            let (due, short) = home_time_limit(at, home);
            vec![cells[0].clone(), cells[1].clone(), shown(due), yes(short)]
        }
        "start (UTC)" => {
            let start: Timestamp = format!("{}:00Z", cells[0].replace(' ', "T")).parse().unwrap();
            let end = match cells[2].split_once(' ') {
                Some((count, "h")) => start.plus(count.parse::<i64>().unwrap() * HOUR),
                Some((count, _)) => {
                    let day = holidays.day_of_receipt(start, None);
                    holidays.end_of_working_days(day, count.parse().unwrap())
                }
                None => panic!("no limit: {}", cells[2]),
            };
            let utc = end.to_string()[..16].replace('T', " ");
            let real = format!("{} h", end.since(start) / HOUR);
            vec![cells[0].clone(), shown(start), cells[2].clone(), utc, shown(end), real]
        }
        "clock" => {
            let id = ClockId::from_code(&cells[0]).expect("a clock");
            let limit = |urgency| standard_limit(id, urgency).to_string();
            let mut limits = Urgency::ALL.map(limit).to_vec();
            limits.dedup();
            let urgencies = |at: &str| {
                let same = Urgency::ALL.into_iter().filter(|u| limit(*u) == at);
                same.map(Urgency::as_str).collect::<Vec<_>>().join(", ")
            };
            let limits = match &limits[..] {
                [one] => one.clone(),
                many => {
                    let each = many.iter().map(|at| format!("{}: {at}", urgencies(at)));
                    each.collect::<Vec<_>>().join("; ")
                }
            };
            let rungs = ladder(id, Urgency::U2).iter();
            let rungs = rungs.map(|(role, turn)| format!("{} {turn}", role.as_str()));
            let rungs = rungs.collect::<Vec<_>>().join(", ");
            let pages = match (id.pages(false), id.pages(true)) {
                (false, true) => "urgent ones".to_owned(),
                (always, _) => yes(always),
            };
            let class = id.class().as_str().to_owned();
            let rungs = if rungs.is_empty() { "-".to_owned() } else { rungs };
            vec![cells[0].clone(), id.name().to_owned(), class, limits, rungs, pages]
        }
        other => panic!("the page has a table that nothing here knows: {other}"),
    }
}

/// A story of the page: each row says what was recorded, or asks how a clock stands.
struct Story {
    thread: Thread,
    setting: Setting,
}

impl Story {
    fn new() -> Self {
        let office = AuthorityHours {
            staffed: Some("mon-fri 09:00-17:00".parse().unwrap()),
            ..AuthorityHours::default()
        };
        let code = |text: &str| text.parse::<DfeCode>().unwrap();
        let id: SchoolId = "900001".parse().unwrap();
        let calendars = Calendars {
            authorities: [(code("316"), office.clone()), (code("204"), office)].into(),
            schools: [(id.clone(), school())].into(),
            ..Calendars::default()
        };
        let thread = Thread {
            school: id,
            request_type: RequestType::Protection,
            known_since: None,
            accused: Vec::new(),
            facts: Vec::new(),
        };
        Self { thread, setting: Setting { calendars, ..Setting::default() } }
    }

    fn row(&mut self, cells: &[String]) -> Vec<String> {
        let at = instant(&cells[0]);
        if !cells[1].is_empty() {
            self.record(at, &cells[1], &cells[2]);
        }
        let clocks = read(&self.thread, &self.setting, at).clocks;
        let names: Vec<String> = clocks.iter().map(|clock| clock.name()).collect();
        let clock = clocks.iter().find(|clock| clock.name() == cells[3]);
        let clock = clock.unwrap_or_else(|| panic!("{} is not among {names:?}", cells[3]));
        let mut rest = vec![shown(clock.due_at), clock.state.as_str().to_owned()];
        rest.push(
            clock
                .held
                .iter()
                .map(|held| {
                    let hours = held.millis / HOUR;
                    let rest = held.millis % HOUR / MINUTE;
                    let way = if held.in_transit { " on its way to" } else { "" };
                    format!("{hours}:{rest:02}{way} {}", held.authority)
                })
                .collect::<Vec<_>>()
                .join(", "),
        );
        cells[..4].iter().cloned().chain(rest).collect()
    }

    fn record(&mut self, at: Timestamp, by: &str, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        let code = |at: usize| words[at].parse::<DfeCode>().unwrap();
        let said = match words[0] {
            "sent" => {
                let urgency = Urgency::from_code(words[1]).unwrap();
                let version = What::Version {
                    children: 1,
                    urgency,
                    in_school: words.contains(&"at-school"),
                    goes_home_at: None,
                };
                self.thread.facts.push(Fact {
                    at,
                    position: 1,
                    by: self.author("school"),
                    what: version,
                });
                What::Accepted { to: "316".parse().unwrap() }
            }
            "stored" => {
                let of = self.thread.facts.iter().rev().find_map(|f| match f.what {
                    What::TransferProposed { .. } | What::Accepted { .. } => Some(f.position),
                    _ => None,
                });
                What::Delivered { to: by.parse().unwrap(), of: of.unwrap() }
            }
            "copied" => What::Dispatched { to: code(1), why: Dispatch::CaseHolding },
            "opened" => What::Opened,
            "acknowledged" => What::Acknowledged,
            "asked" => What::InformationRequested,
            "answered" => What::InformationSupplied { answers: number(1) },
            "decided" => What::Decided { child: 1, assessed: words[1] == "assessment" },
            "allocated" => What::Allocated { child: 1 },
            "changed" => What::WorkerChanged { child: 1, since: None },
            "note" => What::Progress { child: 1, step: Step::Note, since: None },
            "completed" => {
                What::Progress { child: 1, step: Step::AssessmentCompleted, since: None }
            }
            "proposed" => What::TransferProposed { to: code(1) },
            "accepted" => What::TransferAccepted { answers: number(1) },
            "disagreed" => What::DisagreementRaised { stage: 1 },
            "responded" => What::DisagreementResponded { answers: number(1) },
            "collected" => {
                What::Reached { school: self.thread.school.clone(), position: number(1) }
            }
            "read" => What::Read { position: number(1) },
            "closed" => What::Closed { child: 1 },
            other => panic!("the page tells something that nothing here knows: {other}"),
        };
        let position =
            self.thread.facts.iter().map(|f| f.position).max().map_or(1, |last| {
                if matches!(said, What::Accepted { .. }) { last } else { last + 1 }
            });
        self.thread.facts.push(Fact { at, position, by: self.author(by), what: said });
    }

    fn author(&self, by: &str) -> Organisation {
        match by {
            "school" => Organisation::School(self.thread.school.clone()),
            "exchange" => Organisation::Gateway("demo-1".parse().unwrap()),
            code => Organisation::Authority(code.parse().unwrap()),
        }
    }
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The page as the code would have it.
fn computed_page(text: &str) -> String {
    let mut title: Option<String> = None;
    let mut story = Story::new();
    let mut out = String::new();
    for line in text.lines() {
        let said = if !line.starts_with('|') {
            title = None;
            line.to_owned()
        } else if title.is_none() {
            title = Some(cells(line)[0].clone());
            story = Story::new();
            line.to_owned()
        } else if line.starts_with("|---") {
            line.to_owned()
        } else {
            let given = cells(line);
            match title.as_deref() {
                // Tables of words alone.
                Some("of" | "rule" | "fact") => line.to_owned(),
                Some("when") => format!("| {} |", story.row(&given).join(" | ")),
                Some(title) => format!("| {} |", row(title, &given).join(" | ")),
                None => line.to_owned(),
            }
        };
        out.push_str(said.replace("|  |", "| |").replace("|  |", "| |").as_str());
        out.push('\n');
    }
    out
}

#[test]
fn the_page_says_what_the_code_does() {
    let text = fs::read_to_string(page()).unwrap();
    let tables = text.lines().filter(|line| line.starts_with("|---")).count();
    assert!(tables >= 10, "the page has its tables");
    for id in ClockId::ALL {
        assert!(text.contains(&format!("\n| {} |", id.as_str())), "{} has no row", id.as_str());
    }
    let computed = computed_page(&text);
    if std::env::var_os("ECAF_WRITE_PAGES").is_some() {
        fs::write(page(), computed).unwrap();
        return;
    }
    for (number, (page, code)) in text.lines().zip(computed.lines()).enumerate() {
        assert_eq!(page, code, "line {}", number + 1);
    }
    assert_eq!(text, computed);
}
