use proptest::prelude::*;

use super::*;

fn gss(text: &str) -> Gss {
    text.parse().unwrap()
}

fn row(postcode: &str, district: &str, retired: bool, near: Option<(u8, &str)>) -> Row {
    Row {
        postcode: postcode.parse().unwrap(),
        found: Found {
            district: (!district.is_empty()).then(|| gss(district)),
            retired,
            near: near.map(|(metres, area)| Near { metres, area: gss(area) }),
        },
    }
}

fn meta() -> Meta {
    Meta {
        source: "Made up".to_string(),
        year: 2026,
        month: 11,
        source_digest: Digest::from_bytes([7; 32]),
        near: NearBasis::Source,
        attribution: vec!["Nobody's data".to_string()],
    }
}

fn rows() -> Vec<Row> {
    vec![
        row("ZE1 0AA", "S12000027", false, None),
        row("W10 4AA", "E09000033", false, Some((27, "E09000005"))),
        row("W10 4AB", "E09000020", true, None),
        row("W10 4ZZ", "E09000005", false, None),
        row("W10 4ZY", "", false, None),
        row("GIR 0AA", "", false, None),
        row("NPT 0VA", "W06000022", true, None),
        row("AB1 1CC", "S12000033", true, None),
        row("EC1A 1BB", "E09000019", false, Some((100, "E09000007"))),
    ]
}

#[test]
fn every_row_comes_back_and_nothing_else_exists() {
    let mut rows = rows();
    let bytes = build(&meta(), &mut rows).unwrap();
    let table = PostcodeTable::decode(&bytes).unwrap();
    assert_eq!(table.meta(), &meta());
    assert_eq!(table.counts().total(), 9);
    for row in &rows {
        assert_eq!(table.lookup(row.postcode), Some(row.found), "{}", row.postcode.spelled());
    }
    let listed: Vec<_> = table.iter().collect();
    assert_eq!(listed, rows.iter().map(|r| (r.postcode, r.found)).collect::<Vec<_>>());
    for absent in ["W10 4AD", "W10 5AA", "W1 4AA", "ZE1 0AB", "GIR 0AB", "NPT 0AA", "AA1 1AA"] {
        assert_eq!(table.lookup(absent.parse().unwrap()), None, "{absent}");
    }
}

#[test]
fn order_and_repetition_change_nothing_and_contradiction_is_refused() {
    let (mut forwards, mut backwards) = (rows(), rows());
    backwards.reverse();
    backwards.push(backwards[0]);
    assert_eq!(build(&meta(), &mut forwards), build(&meta(), &mut backwards));
    let mut contradiction = rows();
    contradiction.push(row("ZE1 0AA", "S12000033", false, None));
    assert_eq!(build(&meta(), &mut contradiction), Err(BuildError::Conflicts(1)));
}

#[test]
fn a_cut_file_is_refused_at_every_length() {
    let bytes = build(&meta(), &mut rows()).unwrap();
    for length in 0..bytes.len() {
        assert!(PostcodeTable::decode(&bytes[..length]).is_err(), "{length}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(PostcodeTable::decode(&longer).is_err());
}

#[test]
fn a_sector_may_be_full_and_must_not_be_empty() {
    let number = rows()[1].postcode.sector_and_slot().unwrap().0;
    // Five districts: indices of three bits, which lie across bytes.
    let unit = |slot: u16| {
        let found = row("W10 4AA", &format!("E0900000{}", slot * 7 % 5), false, None).found;
        Row { postcode: Postcode::at_slot(number, slot).unwrap(), found }
    };
    let mut full: Vec<_> = (0..SLOTS).map(unit).collect();
    let table = PostcodeTable::decode(&build(&meta(), &mut full).unwrap()).unwrap();
    let listed = table.iter().map(|(postcode, found)| Row { postcode, found });
    assert_eq!((table.counts().total(), listed.collect::<Vec<_>>()), (400, full));

    let mut single = vec![unit(0)];
    let mut bytes = build(&meta(), &mut single).unwrap();
    let map = bytes.windows(50).position(|w| w[0] == 1 && w[1..].iter().all(|&b| b == 0)).unwrap();
    bytes[map] = 0;
    assert_eq!(PostcodeTable::decode(&bytes).err(), Some(TableError::Invalid("sectors")));
}

#[test]
fn another_format_version_is_named() {
    let mut bytes = build(&meta(), &mut rows()).unwrap();
    bytes[0] = 2;
    assert_eq!(PostcodeTable::decode(&bytes).err(), Some(TableError::Version(2)));
}

#[test]
fn counts_say_how_many_and_of_which_kind() {
    let table = PostcodeTable::decode(&build(&meta(), &mut rows()).unwrap()).unwrap();
    let counts = Counts { england: 4, scotland: 2, wales: 1, unplaced: 2, retired: 3, near: 2 };
    assert_eq!(*table.counts(), counts);
    let codes: Vec<_> = table.codes().iter().map(Gss::as_str).collect();
    assert_eq!(
        codes,
        [
            "E09000005",
            "E09000007",
            "E09000019",
            "E09000020",
            "E09000033",
            "S12000027",
            "S12000033",
            "W06000022"
        ]
    );
    // Areas; districts, digits, sectors and numbers of three sectors; one palette of four with four
    // indices; two hints; three odd ones.
    let parts = [1_404, 3 * 740, 3 * 20, 3 * 128, 3 * 4, 12, 8, 1, 2 * 6, 3 * 8];
    assert_eq!(table.memory(), parts.iter().sum::<usize>());
    assert!(format!("{table:?}").contains("Made up"));
}

#[test]
fn an_index_takes_as_few_bits_as_its_palette_needs() {
    let widths = [1, 2, 3, 4, 5, 8, 9, 255].map(build::width_of);
    assert_eq!(widths, [0, 1, 2, 2, 3, 3, 4, 8]);
}

#[test]
fn a_number_of_seven_bits_a_byte_has_one_form() {
    for (value, bytes) in [
        (0, &[0][..]),
        (0x7f, &[0x7f]),
        (0x80, &[0x80, 0x01]),
        (0x3fff, &[0xff, 0x7f]),
        (0x4000, &[0x80, 0x80, 0x01]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        let mut out = Vec::new();
        bytes::put_varint(&mut out, value);
        assert_eq!(out, bytes);
        let mut reader = bytes::Reader::new(bytes);
        assert_eq!(reader.varint("number"), Ok(value));
        assert_eq!(reader.end(), Ok(()));
    }
    for bad in [
        &[0x80, 0x00][..],
        &[0xff, 0xff, 0x80, 0x00],
        &[0xff, 0xff, 0xff, 0xff, 0x10],
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
        &[0xff, 0xff, 0xff, 0xff, 0x8f, 0x01],
    ] {
        let read = bytes::Reader::new(bad).varint("number");
        assert_eq!(read, Err(TableError::Invalid("number")), "{bad:?}");
    }
    assert_eq!(bytes::Reader::new(&[0x80]).varint("number"), Err(TableError::Truncated("number")));
}

#[test]
fn the_basis_of_hints_and_long_texts_travel() {
    for near in [NearBasis::None, NearBasis::Source, NearBasis::CarriedOver, NearBasis::Measured] {
        let meta = Meta { near, source: "é".repeat(200), ..meta() };
        let table = PostcodeTable::decode(&build(&meta, &mut rows()).unwrap()).unwrap();
        assert_eq!(table.meta().near, near);
        assert_eq!(table.meta().source, "é".repeat(127), "cut at a character");
    }
}

#[test]
fn what_is_wrong_with_bytes_or_rows_is_said() {
    for (error, said) in [
        (TableError::Truncated("sectors"), "the postcode table ends inside its sectors"),
        (TableError::Invalid("counts"), "the postcode table is not valid in its counts"),
        (
            TableError::Version(2),
            "the postcode table has format version 2; this program reads version 1",
        ),
    ] {
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(
        BuildError::Conflicts(3).to_string(),
        "3 postcodes occur more than once and contradict themselves"
    );
    assert!(BuildError::TooMany.to_string().starts_with("more sectors"));
}

/// Every byte of a valid table changed in every bit: refused, or the same table, or one that is whole
/// in itself and has one form only: it is built again to the very bytes that were read.
#[test]
fn a_table_has_one_form() {
    let small = vec![
        row("E1 1AA", "E09000001", false, None),
        row("E1 1AB", "E09000002", false, None),
        row("E2 1AA", "E09000001", false, None),
    ];
    for rows in [rows(), small] {
        let bytes = build(&meta(), &mut rows.clone()).unwrap();
        let read = (0..bytes.len() * 8).filter(|bit| is_whole(&bytes, bit / 8, bit % 8)).count();
        assert!(read > 100, "{read}");
    }
}

/// Whether the bytes with this bit changed are a table; then it must be a whole one.
fn is_whole(bytes: &[u8], at: usize, bit: usize) -> bool {
    let mut other = bytes.to_vec();
    other[at] ^= 1 << bit;
    let Ok(table) = PostcodeTable::decode(&other) else { return false };
    assert!(table.codes().is_sorted_by(|a, b| a < b), "bit {bit} of byte {at}");
    let mut rows: Vec<_> = table.iter().map(|(postcode, found)| Row { postcode, found }).collect();
    let again = build(table.meta(), &mut rows).unwrap();
    let rebuilt = PostcodeTable::decode(&again).unwrap();
    assert_eq!(rebuilt.counts(), table.counts(), "bit {bit} of byte {at}");
    // A code that no row uses is allowed, and is not written again.
    let all_used = rebuilt.codes() == table.codes();
    assert!(again == other || !all_used, "bit {bit} of byte {at}");
    true
}

#[test]
fn odd_postcodes_are_in_order_once_and_of_known_codes() {
    let odd = |typed| row(typed, "", false, None);
    let bytes = build(&meta(), &mut vec![odd("GIR 0AA"), odd("GIR 0AB")]).unwrap();
    let refused = |bytes: &[u8]| {
        assert_eq!(PostcodeTable::decode(bytes).err(), Some(TableError::Invalid("odd postcodes")));
    };
    let last = bytes.len() - 7;
    let mut twice = bytes.clone();
    twice.copy_within(last - 7..last, last);
    refused(&twice);
    let mut unknown = bytes;
    unknown[last + 4..last + 6].copy_from_slice(&[0, 0]);
    refused(&unknown);
}

#[test]
fn an_edition_is_a_month_of_a_year() {
    for (year, month, good) in [
        (1900, 1, true),
        (9999, 12, true),
        (2026, 0, false),
        (2026, 13, false),
        (1899, 1, false),
        (10_000, 1, false),
    ] {
        let bytes = build(&Meta { year, month, ..meta() }, &mut rows()).unwrap();
        let refused = (!good).then_some(TableError::Invalid("edition"));
        assert_eq!(PostcodeTable::decode(&bytes).err(), refused, "{year}-{month}");
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    let area = "(E0[6-9]|S12|W06)00000[0-9]";
    let postcode = "[A-D][A-C]?[1-3][0-2A-B]? [0-2][A-EY-Z][A-EV-Z]|NPT [0-9][A-Z]{2}";
    let near = proptest::option::of((0u8..=200, area));
    (postcode, proptest::option::of(area), any::<bool>(), near).prop_filter_map(
        "not a postcode",
        |(postcode, district, retired, near)| {
            let postcode: Postcode = postcode.parse().ok()?;
            let near = near.filter(|_| postcode.sector_and_slot().is_some());
            let near = near.map(|(metres, area)| Near { metres, area: gss(&area) });
            let district = district.as_deref().map(gss);
            Some(Row { postcode, found: Found { district, retired, near } })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rows_survive(mut rows in proptest::collection::vec(any_row(), 0..300)) {
        rows.sort_by_key(|row| row.postcode);
        rows.dedup_by_key(|row| row.postcode);
        let table = PostcodeTable::decode(&build(&meta(), &mut rows).unwrap()).unwrap();
        let listed: Vec<_> = table.iter().map(|(postcode, found)| Row { postcode, found }).collect();
        prop_assert!(listed == rows);
    }

    #[test]
    fn altered_bytes_never_panic(at in 0usize..1000, to in any::<u8>(), typed in "[A-Z]{1,2}[0-9]{1,2} [0-9][A-Z]{2}") {
        let mut bytes = build(&meta(), &mut rows()).unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(table) = PostcodeTable::decode(&bytes) {
            let _ = typed.parse().map(|postcode| table.lookup(postcode));
            prop_assert_eq!(table.iter().count() as u32, table.counts().total());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = PostcodeTable::decode(&bytes);
        if bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[1, 0]);
            let _ = PostcodeTable::decode(&bytes);
        }
    }
}
