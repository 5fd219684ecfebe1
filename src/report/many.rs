//! Many referrals of one party: which there are, and those of a period.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::domain::ids::ReferralId;
use crate::store::{AuthorityStore, DeliveryFilter, GatewayStore, InboxFilter, StoreFault};

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

/// The referrals in a gateway's store.
pub async fn of_gateway(store: &dyn GatewayStore) -> Result<Vec<ReferralId>, StoreFault> {
    let mut ids = BTreeSet::new();
    let mut filter = DeliveryFilter::default();
    loop {
        let page = store.deliveries(filter).await?;
        let Some(last) = page.last() else { return Ok(ids.into_iter().collect()) };
        filter.after = Some(last.id);
        ids.extend(page.iter().map(|delivery| delivery.referral_id));
    }
}
