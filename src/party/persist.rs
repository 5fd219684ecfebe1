//! Sends the same bytes until an answer is certain or the time is up.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::member::Member;
use crate::domain::ids::{Digest, ReferralId};
use crate::http::{ClientFault, ClientResponse, EdgeRefusal};
use crate::protocol::evidence::unverified_claims;
use crate::protocol::problem::ProblemDocument;
use crate::protocol::tokens::{Event as _, Refused};

/// An answer that will not change by asking again.
#[derive(Debug)]
pub struct Certain {
    /// The answer.
    pub response: ClientResponse,
    /// How many times it was sent.
    pub attempts: u32,
    /// Whether an earlier attempt may have been taken without anybody hearing of it.
    pub uncertain: bool,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoAnswer {
    /// Whether the gateway has it is not known: the same bytes must be sent again.
    NotKnown {
        /// How many times it was sent.
        attempts: u32,
    },
    /// The gateway could not be reached; it does not have it.
    Unreached {
        /// The last failure.
        last: ClientFault,
        /// How many times it was tried.
        attempts: u32,
    },
}

/// Posts `body` to `path` again and again. `progress` hears of each attempt that found no gateway.
pub async fn post(
    member: &Member,
    path: &str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    mut progress: impl FnMut(u32, &ClientFault),
) -> Result<Certain, NoAnswer> {
    let deadline = member.clock.now().plus(member.give_up_after.as_millis() as i64);
    let (mut attempts, mut uncertain) = (0, false);
    loop {
        attempts += 1;
        let sent = member.client.post(path, headers.clone(), body.clone()).await;
        let late = member.clock.now() >= deadline;
        match sent {
            Ok(response) if !is_passing(response.status) => {
                return Ok(Certain { response, attempts, uncertain });
            }
            Ok(_) if late => return Err(NoAnswer::NotKnown { attempts }),
            // A server in trouble may have taken it all the same.
            Ok(_) => uncertain = true,
            Err(last) => {
                uncertain |= !last.had_no_effect();
                let hopeless =
                    matches!(last, ClientFault::Refused(_) | ClientFault::AnswerTooLarge);
                match (hopeless || late, uncertain) {
                    (true, true) => return Err(NoAnswer::NotKnown { attempts }),
                    (true, false) => return Err(NoAnswer::Unreached { last, attempts }),
                    (false, _) => progress(attempts, &last),
                }
            }
        }
        // The same bytes again, a little later each time: at most five seconds, a child waits.
        let wait = Duration::from_millis(200 << attempts.min(5)).min(Duration::from_secs(5));
        member.clock.sleep(wait).await;
    }
}

/// Whether a signed refusal names another body or another referral than these. Nobody is told "refused" for
/// what was perhaps taken, whoever mixed the answers up.
pub fn is_of_another(problem: &ProblemDocument, about: ReferralId, body: Digest) -> bool {
    let Some(claims) = problem.refusal.as_deref().and_then(unverified_claims) else { return false };
    let digest = claims["events"][Refused::URI]["request_sha256"].as_str();
    let referral = claims["sub_id"]["uri"].as_str();
    digest.is_some_and(|named| named.parse() != Ok(body))
        || referral.is_some_and(|named| named != about.urn())
}

/// Whether the peer was not let in, so that nothing was looked up for it.
pub fn is_of_the_connection(problem: &ProblemDocument) -> bool {
    let rule = EdgeRefusal::PeerNoLongerTrusted.rule().id;
    problem.violations.iter().any(|violation| violation.rule == rule)
}

/// Answers that mean "again, a little later".
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::INTERNAL_SERVER_ERROR
    )
}
