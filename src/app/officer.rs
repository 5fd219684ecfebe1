//! Whether somebody at an authority's own machine is one of its designated officers.

use super::member::open_member;
use super::parts::AppFault;
use crate::config::{AuthoritySettings, MemberSettings};
use crate::domain::party::Organisation;
use crate::protocol::directory::accept;
use crate::protocol::trust::{Chain, Purpose};

/// Whether the person whose keys `person` names, and who therefore can read them, is a designated officer
/// of this authority by its directory. What this guards is local: whoever may read the inbox's file and
/// its keys can do without.
pub async fn is_officer(
    authority: &AuthoritySettings,
    person: &MemberSettings,
) -> Result<bool, AppFault> {
    let member = open_member(person).await?;
    let here = member.party.organisation == Organisation::Authority(authority.code);
    let Some(id) = member.party.person.as_ref().filter(|_| here) else { return Ok(false) };
    let path = &authority.directory;
    let bytes = std::fs::read(path).map_err(|fault| AppFault::at(path, fault.kind()))?;
    let now = member.clock.now();
    let verify = |chain: &Chain| member.trust.store().verify(chain, Purpose::Signing, now);
    let held = accept(&bytes, verify, now, None).map_err(|why| AppFault::at(path, why))?;
    Ok(held.directory().is_officer(authority.code, id, now))
}
