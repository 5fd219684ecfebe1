//! What can come instead of an answer: a refusal (somebody else's fault, told to them) or a fault
//! (ours, told to the log). One exhaustive match in `respond` turns both into responses.

use std::fmt;

use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::refusal::Refusal;
use crate::protocol::signing::SigningFault;
use crate::store::StoreFault;

/// A failure of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store did not do it.
    Store(StoreFault),
    /// Nothing could be signed.
    Signing(SigningFault),
    /// Our own signing certificate would be refused by others, by this rule.
    OwnCertificate(&'static str),
}

impl Fault {
    /// Whether this process can do no more: another one must start and find out what is stored.
    pub const fn is_final(self) -> bool {
        matches!(self, Fault::Store(fault) if fault.is_final())
    }

    /// Whether what was stored or is to be signed is to blame, or a key of this process: with another referral, or
    /// in another process, it may go well. Else the store does nothing for anybody now.
    pub const fn is_of_one(self) -> bool {
        match self {
            Fault::Store(fault) => matches!(
                fault,
                StoreFault::Corrupt
                    | StoreFault::Misuse
                    | StoreFault::NoPeriodKey
                    | StoreFault::UnknownKey
                    | StoreFault::RingLost
            ),
            Fault::Signing(_) | Fault::OwnCertificate(_) => true,
        }
    }

    /// A stable label for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Fault::Store(fault) => fault.label(),
            Fault::Signing(_) => "signing",
            Fault::OwnCertificate(rule) => rule,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Store(fault) => fault.fmt(f),
            Fault::Signing(fault) => fault.fmt(f),
            Fault::OwnCertificate(rule) => {
                write!(f, "our own signing certificate is not valid now [{rule}]")
            }
        }
    }
}

impl From<StoreFault> for Fault {
    fn from(fault: StoreFault) -> Self {
        Fault::Store(fault)
    }
}

impl From<SigningFault> for Fault {
    fn from(fault: SigningFault) -> Self {
        Fault::Signing(fault)
    }
}

/// A refusal with what helps its reader on.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub refusal: Refusal,
    /// The referral that it is about, if the request named one that is its sender's.
    pub about: Option<ReferralId>,
    /// The authority whose number to ring, as far as it is known.
    pub ring: Option<DfeCode>,
    /// A document made from a refused urgent one, that can be sent at once. Personal.
    pub minimal_document: Option<Vec<u8>>,
    /// The referral as text to read out, where the exchange cannot deliver it. Personal.
    pub readable: Option<String>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({:?})", self.refusal.rule().map(|r| r.id))
    }
}

/// Instead of an answer.
#[derive(Debug)]
pub enum Trouble {
    /// Their fault.
    Refused(Box<Refused>),
    /// Ours.
    Fault(Fault),
}

impl Trouble {
    /// What it is where nobody asked, so that nobody is refused: what is stored cannot be read.
    pub fn unasked(self) -> Fault {
        match self {
            Trouble::Fault(fault) => fault,
            Trouble::Refused(_) => Fault::Store(StoreFault::Corrupt),
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(Box::new(Refused::of(refusal)))
    }
}

impl Refused {
    /// A refusal without anything beside it.
    pub fn of(refusal: Refusal) -> Self {
        Self { refusal, about: None, ring: None, minimal_document: None, readable: None }
    }
}

impl<F: Into<Fault>> From<F> for Trouble {
    fn from(fault: F) -> Self {
        Trouble::Fault(fault.into())
    }
}

impl Trouble {
    /// The same, with the referral that it is about.
    pub fn about(mut self, id: ReferralId) -> Self {
        if let Trouble::Refused(refused) = &mut self {
            refused.about = Some(id);
        }
        self
    }

    /// The same, with the authority to ring.
    pub fn ring(mut self, authority: Option<DfeCode>) -> Self {
        if let Trouble::Refused(refused) = &mut self {
            refused.ring = refused.ring.or(authority);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::{Class, Violation};
    use crate::domain::routing::decide::rules;
    use crate::effects::NoEntropy;

    #[test]
    fn a_refusal_is_shown_by_its_rule_and_without_anything_personal() {
        let violation = Violation::at(rules::NO_CHILD, "/children");
        let refused = Refused {
            minimal_document: Some(b"Ann".to_vec()),
            readable: Some("Ann".to_owned()),
            ..Refused::of(Refusal::new(Class::Invalid, violation))
        };
        assert_eq!(format!("{refused:?}"), format!("Refused(Some({:?}))", rules::NO_CHILD.id));
    }

    #[test]
    fn only_a_store_that_stopped_ends_the_process() {
        assert!(Fault::from(StoreFault::Stopped).is_final());
        assert!(!Fault::from(StoreFault::Full).is_final());
        assert!(!Fault::Signing(SigningFault::Entropy(NoEntropy)).is_final());
        assert!(!Fault::OwnCertificate("certificate/expired").is_final());
    }
}
