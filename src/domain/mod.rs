//! Pure values and rules of the exchange. std only: no async, no I/O, no clock reads, no wire format.

pub mod advice;
pub mod calendar;
pub mod case;
pub mod clocks;
pub mod delivery;
pub mod directory;
pub mod hours;
pub mod ids;
pub mod nhs_number;
pub mod party;
pub mod postcode;
pub mod referral;
pub mod refusal;
pub mod retention;
pub mod routing;
pub mod statistics;
pub mod time;
pub mod upn;
pub mod visibility;
