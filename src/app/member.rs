//! The machine of a school or of a worker, ready to speak to the gateway.

use std::sync::Arc;

use super::parts::{self, AppFault};
use crate::config::MemberSettings;
use crate::domain::party::Organisation;
use crate::effects::SystemEntropy;
use crate::http::{Client, ClientLimits};
use crate::party::member::Member;
use crate::protocol::trust::Purpose;

/// The largest answer that is read, in bytes: the proof of the longest thread there may be. Each of four parties says
/// 500 times something ([`MOST_STATEMENTS`](crate::domain::case::MOST_STATEMENTS)), two limits pass for each, and every token is
/// recorded: 6,000 pairs of 2.5 KB.
const LARGEST_ANSWER: usize = 32 * 1_024 * 1_024;

/// Loads certificates and trust data; connects to nobody yet.
pub async fn open_member(settings: &MemberSettings) -> Result<Member, AppFault> {
    let parts = parts::load(&settings.trust, &settings.identity, &[Purpose::TlsClient]).await?;
    let party = parts.credentials.identity().party().clone();
    if party.organisation.role() != settings.role {
        let why = format_args!("is not of the kind {}", settings.role.as_str());
        return Err(AppFault::new("identity.tls_certificate", why));
    }
    let me: &Organisation = &party.organisation;
    let signing = match &settings.identity.signing {
        Some(_) => Some(parts::signing_identity(&settings.identity, &parts.trust, me)?),
        None => None,
    };
    let url = settings.gateway.url.as_str();
    let endpoint = url.parse().map_err(|f| AppFault::new("gateway.url", f))?;
    let client = Client::new(
        endpoint,
        settings.gateway.identity.clone(),
        Arc::clone(&parts.credentials),
        Arc::clone(&parts.trust),
    );
    let limits = ClientLimits {
        response: settings.gateway.timeout,
        response_bytes: LARGEST_ANSWER,
        ..ClientLimits::default()
    };
    Ok(Member {
        signing,
        gateway: settings.gateway.identity.clone(),
        client: Box::new(client.with_limits(limits)),
        trust: parts.trust,
        state: settings.state_dir.clone(),
        give_up_after: settings.gateway.give_up_after,
        clock: parts.clock,
        entropy: Arc::new(SystemEntropy::default()),
        party,
    })
}
