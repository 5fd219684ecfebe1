//! What a store holds, table by table, in the columns that both databases have. A test holds these
//! lists to the schema of each database, so that no later column is forgotten.

/// One table. Rows are copied in the order of its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns; the first `key` of them are its key.
    pub columns: &'static [Column],
    /// How many of the columns are the key.
    pub key: usize,
}

impl Table {
    /// Its columns, as SQL lists them.
    pub(in crate::store) fn column_names(&self) -> String {
        list(self.columns)
    }

    /// The columns of its key, as SQL lists them.
    pub(in crate::store) fn key_names(&self) -> String {
        list(&self.columns[..self.key])
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// One column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// What a column holds, in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A number.
    Integer,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// One column, or none, of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The columns of one row, in the table's order.
pub type Row = Vec<Value>;

const fn int(name: &'static str) -> Column {
    Column { name, holds: Holds::Integer }
}

const fn text(name: &'static str) -> Column {
    Column { name, holds: Holds::Text }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, holds: Holds::Bytes }
}

const fn table(name: &'static str, key: usize, columns: &'static [Column]) -> Table {
    Table { name, columns, key }
}

const CHAINS: Table = table("chains", 2, &[bytes("x5t"), int("place"), bytes("der")]);
const CRLS: Table = table("crls", 1, &[bytes("sha256"), bytes("der")]);
const DOCUMENTS: Table =
    table("documents", 1, &[int("id"), bytes("key_id"), bytes("wrapped"), bytes("body")]);
const TOKENS: Table = table(
    "tokens",
    1,
    &[
        int("id"),
        int("owner"),
        text("kind"),
        int("position"),
        bytes("sha256"),
        text("jws"),
        text("issuer"),
        bytes("x5t"),
        bytes("crls"),
        int("recorded_at"),
    ],
);
const HOLDS: Table = table("holds", 2, &[bytes("referral_id"), text("code"), int("placed_at")]);
const CLOSURES: Table = table("closures", 1, &[bytes("referral_id"), int("closed_at")]);

/// A gateway's store, parents before children.
pub const GATEWAY: &[Table] = &[
    CHAINS,
    CRLS,
    DOCUMENTS,
    table(
        "referrals",
        1,
        &[
            int("ref"),
            bytes("referral_id"),
            text("sender"),
            int("head_position"),
            bytes("head_digest"),
            text("holder"),
            int("wake_at"),
        ],
    ),
    TOKENS,
    table(
        "versions",
        2,
        &[
            int("ref"),
            int("version"),
            bytes("payload_sha256"),
            int("document"),
            text("request_type"),
            int("urgency"),
            text("authority"),
            int("submission"),
            int("accepted"),
            int("recorded_at"),
            int("erased_at"),
            text("erased_why"),
        ],
    ),
    table(
        "events",
        2,
        &[
            int("ref"),
            int("position"),
            bytes("sha256"),
            int("event"),
            int("recorded"),
            text("holder"),
            bytes("detail_sha256"),
            int("document"),
            int("erased_at"),
            text("erased_why"),
        ],
    ),
    table(
        "deliveries",
        1,
        &[
            int("id"),
            int("ref"),
            int("version"),
            text("authority"),
            text("purpose"),
            int("called_by"),
            int("urgency"),
            text("state"),
            int("due_at"),
            int("attempts"),
            bytes("lease_token"),
            text("lease_holder"),
            int("first_tried_at"),
            text("reason"),
            int("recorded_at"),
            int("settled_at"),
            int("note"),
            int("delivered"),
            int("recorded"),
        ],
    ),
    table("unsequenced", 1, &[int("token"), text("audience")]),
    table("log", 1, &[int("idx"), int("token"), bytes("sha256")]),
    table("reached", 3, &[int("ref"), int("position"), text("party"), int("reached_at")]),
    table("feeds", 2, &[text("party"), int("position"), int("token")]),
    table("streams", 3, &[text("party"), text("person"), text("name"), int("slot"), int("done")]),
    table("stream_acks", 4, &[text("party"), text("person"), text("name"), int("position")]),
    table(
        "stream_errors",
        4,
        &[
            text("party"),
            text("person"),
            text("name"),
            int("position"),
            text("error"),
            int("recorded_at"),
        ],
    ),
    table("rights", 1, &[text("name"), text("holder"), int("epoch"), int("expires_at")]),
    HOLDS,
    CLOSURES,
];

/// An authority's store, parents before children.
pub const AUTHORITY: &[Table] = &[
    CHAINS,
    CRLS,
    DOCUMENTS,
    table(
        "dispatches",
        1,
        &[
            int("entry"),
            bytes("referral_id"),
            int("version"),
            text("purpose"),
            text("sender"),
            text("request_type"),
            int("urgency"),
            bytes("payload_sha256"),
            int("document"),
            text("reference"),
            int("recorded_at"),
            int("received_at"),
            int("erased_at"),
            text("erased_why"),
        ],
    ),
    TOKENS,
    table(
        "pushed",
        1,
        &[
            bytes("sha256"),
            bytes("referral_id"),
            text("kind"),
            text("jws"),
            text("issuer"),
            bytes("x5t"),
            bytes("crls"),
            int("recorded_at"),
            int("received_at"),
        ],
    ),
    table("reference_numbers", 2, &[text("prefix"), int("year"), int("last")]),
    HOLDS,
    CLOSURES,
];
