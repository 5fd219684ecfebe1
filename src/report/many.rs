//! Many referrals of one party: which there are, and those of a period.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::domain::delivery::State;
use crate::domain::ids::ReferralId;
use crate::protocol::evidence::Bundle;
use crate::protocol::trust::Chain;
use crate::store::{
    AuthorityStore, DeliveryFilter, DeliveryRow, GatewayStore, InboxFilter, StoreFault,
};

/// Threads asked for at once.
const AT_ONCE: u32 = 1_000;

/// The referrals that a school's machine keeps, in the order of their ids.
pub fn of_school(state: &Path) -> io::Result<Vec<ReferralId>> {
    let entries = match fs::read_dir(state.join("referrals")) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let mut ids = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        let id: Option<ReferralId> = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        // What the gateway never took has no receipt.
        let taken = fs::read_dir(&path)?.flatten().any(|v| v.path().join("receipt.json").exists());
        ids.extend(id.filter(|_| taken));
    }
    Ok(ids.into_iter().collect())
}

/// The referrals in an authority's inbox.
pub async fn of_inbox(store: &dyn AuthorityStore) -> Result<Vec<ReferralId>, StoreFault> {
    let mut ids = BTreeSet::new();
    let mut filter = InboxFilter::default();
    loop {
        let page = store.inbox(filter.clone()).await?;
        let Some(last) = page.last() else { return Ok(ids.into_iter().collect()) };
        filter.after = Some(last.entry);
        ids.extend(page.iter().map(|entry| entry.key.referral_id));
    }
}

/// The documents of a referral that an authority keeps.
pub async fn own_documents(
    store: &dyn AuthorityStore,
    id: ReferralId,
) -> Result<Vec<Bytes>, StoreFault> {
    let filter = InboxFilter { referral_id: Some(id), ..InboxFilter::default() };
    let mut documents = Vec::new();
    for entry in store.inbox(filter).await? {
        let item = store.item(entry.entry).await?;
        documents.extend(item.and_then(|item| item.document.kept().cloned()));
    }
    Ok(documents)
}

/// The threads in a gateway's store: referrals, and what events began.
pub async fn of_gateway(store: &dyn GatewayStore) -> Result<Vec<ReferralId>, StoreFault> {
    let mut ids = Vec::new();
    loop {
        let page = store.threads(ids.last().copied(), AT_ONCE).await?;
        if page.is_empty() {
            return Ok(ids);
        }
        ids.extend(page);
    }
}

/// Everything that a gateway's store has to prove a thread with; `None` if there is no such thread.
pub async fn evidence(
    store: &dyn GatewayStore,
    id: ReferralId,
) -> Result<Option<Bundle>, StoreFault> {
    let Some(timeline) = store.timeline(id).await? else { return Ok(None) };
    let (mut bundle, mut chains, mut crls) = (Bundle::new(id), BTreeSet::new(), BTreeSet::new());
    for row in &timeline.tokens {
        let token = store.token(id, row.sha256).await?.ok_or(StoreFault::Corrupt)?.token;
        if chains.insert(token.x5t)
            && let Some(chain) = store.chain(token.x5t).await?.and_then(Chain::new)
        {
            bundle.push_chain(&chain);
        }
        crls.extend(token.crl_digests);
        bundle.tokens.push(token.jws);
    }
    for digest in crls {
        let list = store.crl(digest).await?;
        bundle.crls.extend(list.map(|der| STANDARD.encode(der)));
    }
    Ok(Some(bundle))
}

/// Deliveries that an operator recorded as handed over: no token says so, the store alone does.
pub async fn by_hand(store: &dyn GatewayStore) -> Result<Vec<DeliveryRow>, StoreFault> {
    let mut all: Vec<DeliveryRow> = Vec::new();
    let mut filter = DeliveryFilter { state: Some(State::ByHand), ..DeliveryFilter::default() };
    loop {
        let page = store.deliveries(filter).await?;
        let Some(last) = page.last() else { return Ok(all) };
        filter.after = Some(last.id);
        all.extend(page);
    }
}
