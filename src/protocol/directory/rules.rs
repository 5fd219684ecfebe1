//! The rules of the directory, by the ids that refusals and vectors use.

use crate::domain::refusal::Rule;

macro_rules! rules {
    ($($name:ident = $id:literal, $title:literal, $action:literal;)*) => {$(
        #[doc = $title]
        pub const $name: Rule = Rule { id: $id, title: $title, action: $action };
    )*
        /// All of them.
        pub const ALL: &[Rule] = &[$($name),*];
    };
}

rules! {
    UNREADABLE = "directory.unreadable",
        "the file is not a signed directory",
        "Use the file that \"ecaf directory sign\" wrote, unchanged.";
    DOCUMENT = "directory.document",
        "the directory does not have the shape of this version",
        "Correct the place named and sign again.";
    VALUE = "directory.value",
        "a value does not have the form that its member needs",
        "Correct the value and sign again.";
    CONTRADICTION = "directory.contradiction",
        "two statements of the directory contradict each other",
        "Correct one of them and sign again.";
    DUPLICATE = "directory.duplicate",
        "the directory lists the same organisation twice",
        "Remove one of the entries and sign again.";
    TERMS_OVERLAP = "directory.calendar.terms-overlap",
        "two terms of a calendar overlap",
        "Correct the dates: between two terms lies a holiday.";
    TERM_WITHOUT_DAYS = "directory.calendar.term-without-days",
        "a term has no day on which pupils are in",
        "Correct its dates, or leave the term out.";
    DAY_OUTSIDE_TERM = "directory.calendar.day-outside-term",
        "an INSET day or half day is not a weekday of a term",
        "Correct the day, or let a term begin or end with it.";
    SLOWER = "directory.profile.slower",
        "a limit in an authority's profile is slower than the scheme's",
        "A profile can only promise more; leave the limit out.";
    CUT_OFF = "directory.profile.cut-off",
        "a cut-off before 16:00 would turn one working day into two",
        "Put the cut-off at 16:00 or later, or leave it out.";
    CERTIFICATE = "directory.certificate",
        "the certificate of the directory's signer is not accepted",
        "Sign with a current signing certificate of the scheme's operator.";
    SIGNER = "directory.signer",
        "the directory is not signed by the scheme's operator",
        "Sign with a signing certificate whose identity is an operator of this trust domain.";
    SIGNATURE = "directory.signature",
        "the signature of the directory does not verify",
        "Fetch the directory again; if it fails again, tell the operator.";
    DIGEST = "directory.digest",
        "the signature is for other content than this directory",
        "Fetch the directory again; if it fails again, tell the operator.";
    TRUST_DOMAIN = "directory.trust-domain",
        "the directory is for another trust domain",
        "Use the directory of the scheme that this machine belongs to.";
    EXPIRED = "directory.expired",
        "the directory has expired",
        "Fetch the operator's current directory.";
    NOT_YET = "directory.not-yet-issued",
        "the directory's time of issue lies in the future",
        "Check the clock of this machine and of the one that signed.";
    OLDER = "directory.older",
        "the directory is older than the one in use",
        "Use a newer one; to take a step back, the operator issues the old content under a new version.";
    CHANGED = "directory.changed",
        "the directory has the version of the one in use and other content",
        "Issue changed content under a new version.";
    DRAMA_NUMBER = "directory.production.drama-number",
        "a phone number from the range reserved for drama stands in a directory for production",
        "Put the authority's real number, ring it, and record who verified it when.";
    NO_DAYTIME = "directory.production.no-daytime-contact",
        "a connected authority has no verified daytime phone number",
        "Verify a number of its front door, or set the authority to not_connected.";
    NO_OUT_OF_HOURS = "directory.production.no-out-of-hours-contact",
        "a connected authority has no verified out-of-hours phone number",
        "Verify the number of its emergency duty team, or set the authority to not_connected.";
    NO_HOURS = "directory.production.no-staffed-hours",
        "a connected authority has no staffed hours",
        "Ask the authority when its inbox is read and put that into staffed_hours.";
    NO_OFFICER = "directory.production.no-designated-officer",
        "a connected authority lists no designated officer for allegations (LADO)",
        "Ask the authority for the ids in its officers' certificates: without one nobody there sees an allegation.";
    DEMO_DOMAIN = "directory.production.demo-trust-domain",
        "the trust domain of the demonstration stands in a directory for production",
        "Use the trust domain of the scheme.";
}
