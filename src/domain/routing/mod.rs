//! Which authority is responsible for a child, and why.
//!
//! | module | owns |
//! |---|---|
//! | [`gss`] | area codes of the Office for National Statistics |
//! | [`table`] | postcode -> district, exact: an unlisted postcode is unknown, always |
//! | [`district`] | district -> authority on a given day, so that councils can merge |
//! | [`answer`] | what a postcode says on a given day |
//! | [`decide`] | the rules: facts of a referral -> deliveries, confirmations, refusals |

pub mod answer;
pub mod decide;
pub mod district;
pub mod gss;
pub mod table;
