//! The schemas and code lists, embedded as they stand in `schemas/`.

/// One schema file.
#[derive(Clone, Copy)]
pub struct Resource {
    /// Its path on a gateway and in the repository, without a leading slash.
    pub path: &'static str,
    /// Its `$id`.
    pub id: &'static str,
    /// Its exact bytes.
    pub bytes: &'static [u8],
}

/// The `$id` of the schema of a referral, version 1.0.
pub(super) const REFERRAL_V1_ID: &str = "https://ecaf.example/schemas/referral/1.0/referral.json";

macro_rules! embed {
    ($($folder:literal: $($name:ident)*;)*) => {
        &[$($(Resource {
            path: concat!("schemas/", $folder, "/", stringify!($name), ".json"),
            id: concat!("https://ecaf.example/schemas/", $folder, "/", stringify!($name), ".json"),
            bytes: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/schemas/", $folder, "/", stringify!($name), ".json"
            )),
        }),*),*]
    };
}

static RESOURCES: &[Resource] = embed! {
    "codes":
    abuse_category address_kind after_refusal agency_kind agreement_form agreement_status
    attachment_kind change_kind child_role completeness concern_context contact_restriction
    contact_role date_precision disability disclosure_level ethnicity factor known_plan_kind
    lado_adult_role lado_ask lado_criterion media_type place_kind primary_need reason_not_sought
    referrer_role relationship_type request_ask request_type school_link_kind sex text_basis
    unknown_reason urgency worker_danger worry_kind
    ;
    "event/1.0":
    acknowledged allocated call_recorded closed consultation consultation_answered contacts_changed
    decided disagreement_raised disagreement_resolved disagreement_responded disagreement_stepped
    dispute_resolved hand_over_closed hand_over_noted handed_over information_requested
    information_supplied interim interim_answered progress pupil_notice responsibility_disputed
    transfer_accepted transfer_declined transfer_proposed transfer_withdrawn withdrawal_confirmed
    withdrawal_refused withdrawal_requested worker worker_changed
    ;
    "referral/1.0":
    address agency agreement answer attachment birth caf_assessment child chronology_entry coded
    coded_set concern consultation contact danger_to_workers dfe_code email exclude_person history
    interpreter known known_boolean known_coded_set known_line known_plan known_text lado
    lado_setting line local_id name parents_informed partial_date person phone phone_call
    prior_referral private_fostering prose reason_not_sought referral referrer relationship request
    routing_choice safe_now school school_id school_link sha256 standard text uuid voice where_now
    worry
    ;
};

/// Every schema and code list, in a fixed order.
pub fn resources() -> &'static [Resource] {
    RESOURCES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn files(folder: &Path, out: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, out);
            } else if path.extension().is_some_and(|e| e == "json") {
                let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
                out.insert(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_is_embedded_under_its_own_id() {
        let mut on_disk = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas"), &mut on_disk);
        let embedded: BTreeSet<String> = RESOURCES.iter().map(|r| r.path.to_owned()).collect();
        assert_eq!(embedded, on_disk);
        for resource in RESOURCES {
            let schema: serde_json::Value = serde_json::from_slice(resource.bytes).unwrap();
            assert_eq!(schema["$id"], resource.id);
        }
    }
}
