//! Beginning a thread without a referral: a notice, a consultation, a hand-over. The id of the thread is
//! made once and kept with the signed event before that is sent, so that what was begun in a call that
//! broke off is settled by the next one, under the same id and with the same bytes.

use super::member::Member;
use super::outbox::{Openings, Outbox};
use super::say::{NotSaid, Said, Saying, is_own, is_same, send, sign};
use crate::domain::ids::ReferralId;
use crate::effects::NoEntropy;
use crate::protocol::signing::SigningFault;

/// Begins a thread. Openings that an earlier call left without an answer are settled first; if one of them
/// is the same, it is not begun twice.
pub async fn begin(member: &Member, saying: &Saying) -> Result<(ReferralId, Said), NotSaid> {
    let openings = Openings::new(&member.state);
    let pending = openings.pending()?.into_iter();
    for (id, pending) in pending.filter(|(_, event)| is_own(member, event)) {
        let same = is_same(&pending, saying, None);
        let sent = send(member, &Outbox::new(&member.state, id), id, &pending, true).await;
        match sent {
            Ok(_) | Err(NotSaid::Refused(_)) => openings.settled(id)?,
            Err(unknown) => return Err(unknown),
        }
        if same && let Ok(said) = sent {
            return Ok((id, said));
        }
    }
    let entropy = |fault: NoEntropy| NotSaid::Signing(SigningFault::Entropy(fault));
    let id = ReferralId::from_bytes(member.entropy.uuid().map_err(entropy)?);
    let outgoing = sign(member, id, saying, (0, None))?;
    openings.keep(id, &outgoing)?;
    let sent = send(member, &Outbox::new(&member.state, id), id, &outgoing, false).await;
    if matches!(sent, Ok(_) | Err(NotSaid::Refused(_))) {
        openings.settled(id)?;
    }
    sent.map(|said| (id, said))
}
