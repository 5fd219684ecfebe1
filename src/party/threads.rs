//! Which threads without a referral a party has a part in: notices, consultations, hand-overs. They lie in
//! no inbox, so they are learnt from a stream of the party's feed, and kept as an empty file of the thread's
//! id each, in `<state>/threads`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;

use super::look::NotSeen;
use super::member::Member;
use super::poll::Stream;
use crate::domain::case::EventKind;
use crate::domain::ids::ReferralId;
use crate::effects::files::{self, PRIVATE};

/// The stream that is read for it.
const STREAM: &str = "threads";

/// The threads, those learnt before included, and how many tokens of the feed were not proved.
pub async fn learn(member: &Member) -> Result<(Vec<ReferralId>, u64), NotSeen> {
    let folder = member.state.join("threads");
    let mut stream = Stream::new(member, STREAM.to_owned());
    let mut not_proved = 0;
    loop {
        let batch = stream.next(false).await?;
        not_proved += batch.not_proved.len() as u64;
        let begins = |event: &str| EventKind::from_name(event).is_some_and(|k| k.opens().is_some());
        for news in batch.news.iter().filter(|news| begins(&news.event)) {
            let Ok(id) = news.referral_id.parse::<ReferralId>() else { continue };
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(NotSeen::Here)?;
            // Crash before it is there: it is not acknowledged either, and comes again.
            files::replace(&folder.join(id.to_string()), b"", PRIVATE).map_err(NotSeen::Here)?;
        }
        if !batch.more || !stream.has_moved() {
            break;
        }
    }
    stream.finish().await?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            return Ok((Vec::new(), not_proved));
        }
        Err(fault) => return Err(NotSeen::Here(fault)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: Vec<String> =
        names.filter_map(Result::transpose).collect::<io::Result<_>>().map_err(NotSeen::Here)?;
    let mut ids: Vec<ReferralId> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok((ids, not_proved))
}
