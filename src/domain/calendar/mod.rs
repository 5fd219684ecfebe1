//! Days that count and days that do not: bank holidays and working days of England, office hours of
//! an authority, terms and home times of a school. Local time is England's throughout.
//!
//! Pure: every answer follows from the arguments. Worked examples, which a test holds to this code:
//! `.docs/clocks.md`.

mod assumed;
mod bank_holidays;
mod business_hours;
mod easter;
mod known;
mod school;
mod school_days;
mod working_days;

pub use bank_holidays::{BankHolidays, FULL_YEAR, LAST_PUBLISHED, computed, published};
pub use business_hours::{after_business_time, office_hours};
pub use easter::easter_sunday;
pub use known::{AuthorityHours, Calendars, EARLIEST_CUT_OFF, UNKNOWN_HOURS};
pub use school::{ASSUMED_HOME_TIME, DayKind, SchoolCalendar, Term, UNKNOWN_SCHOOL};
pub use school_days::{SchoolDays, THREE_PM};
pub use working_days::END_OF_WORKING_DAY;
