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
    assert!((1_500..100_000).contains(&table.memory()), "{}", table.memory());
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
    let bytes = build(&meta(), &mut rows()).unwrap();
    let mut read = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[at] ^= 1 << bit;
            let Ok(table) = PostcodeTable::decode(&other) else { continue };
            read += 1;
            let mut rows: Vec<_> =
                table.iter().map(|(postcode, found)| Row { postcode, found }).collect();
            let codes: Vec<_> = table.codes().to_vec();
            let again = build(table.meta(), &mut rows).unwrap();
            // A code that no row uses is allowed, and is not written again.
            let all_used = PostcodeTable::decode(&again).unwrap().codes() == codes;
            assert!(again == other || !all_used, "bit {bit} of byte {at}");
        }
    }
    assert!(read > 100, "{read}");
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
