use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::protocol::hash::sha256;

const OWN: &str = "postcode,lad25cd,status,near_m,near_utla\n\
    E154LZ,E09000025,A,150,E09000030\nE154LX,E09000025,T,201,E09000030\nW104AA,E09000033,N,,\n\
    GIR0AA,,N,,\nS701AA,E08000016,A,,\n";
const ONSPD_OLD: &str = "\u{feff}pcd,pcd2,pcds,dointr,doterm,oscty,oslaua,oseast1m,osnrth1m\n\
    E15 4LZ,E15  4LZ,E15 4LZ,198001,,E99999999,E09000025,539000,184000\n\
    E15 4LX,E15  4LX,E15 4LX,198001,201001,E99999999,E09000025,539100,184000\n\
    E20 1AA,E20  1AA,E20 1AA,198001,,E99999999,E09000030,539000,184090\n\
    BT1 1AA,BT1  1AA,BT1 1AA,198001,,N99999999,N09000003,,\n\
    GY1 1AA,GY1  1AA,GY1 1AA,198001,,L99999999,L99999999,,\n";
const ONSPD_NEW: &str = "pcd7,pcd8,pcds,dointr,doterm,cty25cd,lad25cd,east1m,north1m\n\
    E15 4LZ,E15  4LZ,E15 4LZ,198001,,E99999999,E09000025,539000,184000\n";
const NSPL: &str = "pcd,pcd2,pcds,dointr,doterm,usertype,oseast1m,osnrth1m,osgrdind,laua\n\
    E15 4LZ,E15  4LZ,E15 4LZ,198001,,0,,,9,E09000025\n";

fn districts() -> Districts {
    crate::protocol::routing_data::reference::embedded().unwrap().0
}

fn source(bytes: &[u8]) -> Result<Source, Failure> {
    read(Cursor::new(bytes), &mut |_, _| {})
}

fn compiled(bytes: &[u8], in_use: Option<&PostcodeTable>) -> Compiled {
    compile(source(bytes).unwrap(), sha256(bytes), (2026, 2), &districts(), in_use).unwrap()
}

fn found(compiled: &Compiled, typed: &str) -> Option<Found> {
    compiled.table.lookup(typed.parse().unwrap())
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn the_projects_own_extract_with_its_hints() {
    let own = compiled(OWN.as_bytes(), None);
    assert_eq!((own.table.counts().total(), own.table.counts().retired), (5, 1));
    let near = found(&own, "E15 4LZ").unwrap().near.unwrap();
    assert_eq!((near.metres, near.area.as_str()), (150, "E09000030"));
    assert_eq!(found(&own, "E15 4LX").unwrap().near, None, "201 m is not near");
    assert_eq!(found(&own, "GIR 0AA").unwrap().district, None);
    let barnsley = found(&own, "S70 1AA").unwrap().district.unwrap();
    assert_eq!(barnsley.as_str(), "E08000038", "a former code becomes the present one");
    assert_eq!(found(&own, "E15 4LY"), None);
}

#[test]
fn columns_are_found_by_old_and_new_names() {
    for (text, shape, near) in [
        (ONSPD_OLD, Shape::Onspd, NearBasis::Measured),
        (ONSPD_NEW, Shape::Onspd, NearBasis::Measured),
        (NSPL, Shape::Nspl, NearBasis::None),
    ] {
        assert_eq!(source(text.as_bytes()).unwrap().shape, shape);
        let table = compiled(text.as_bytes(), None);
        assert_eq!(table.table.meta().near, near);
        let newham = found(&table, "E15 4LZ").unwrap();
        assert_eq!((newham.district.unwrap().as_str(), newham.retired), ("E09000025", false));
    }
    assert!(matches!(source(b"a,b\n1,2\n"), Err(Failure::NoColumns)));
    assert!(matches!(source(b""), Err(Failure::NoColumns)));
}

#[test]
fn northern_ireland_and_the_islands_are_counted_and_left_out() {
    let onspd = source(ONSPD_OLD.as_bytes()).unwrap();
    assert_eq!((onspd.rows.len(), onspd.outside, onspd.unreadable), (3, 2, 0));
}

#[test]
fn distances_are_measured_to_live_postcodes_of_another_authority() {
    let table = compiled(ONSPD_OLD.as_bytes(), None);
    let near = found(&table, "E15 4LZ").unwrap().near.unwrap();
    assert_eq!((near.metres, near.area.as_str()), (90, "E09000030"));
    let back = found(&table, "E20 1AA").unwrap().near.unwrap();
    assert_eq!((back.metres, back.area.as_str()), (90, "E09000025"));
    let retired = found(&table, "E15 4LX").unwrap();
    assert_eq!((retired.retired, retired.near.unwrap().metres), (true, 135));
}

#[test]
fn gzip_and_zip_are_read_and_of_a_zip_the_whole_directory() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(ONSPD_OLD.as_bytes()).unwrap();
    assert_eq!(source(&gzip.finish().unwrap()).unwrap().rows.len(), 3);
    let zip = zipped(&[
        ("Documents/names.csv", "LAD25CD,LAD25NM\nE09000025,Newham\n"),
        ("Data/multi_csv/ONSPD_E.csv", ONSPD_NEW),
        ("Data/ONSPD_FEB_2026_UK.csv", ONSPD_OLD),
    ]);
    assert_eq!(source(&zip).unwrap().rows.len(), 3);
}

#[test]
fn code_point_open_has_no_header_many_files_and_only_live_postcodes() {
    let line = |postcode: &str, east: u32, district: &str| {
        format!(
            "\"{postcode}\",10,{east},184000,\"E92000001\",\"\",\"\",\"\",\"{district}\",\"\"\n"
        )
    };
    let zip = zipped(&[
        ("Doc/Code-Point_Open_Column_Headers.csv", "PC,PQ,EA,NO,CY,RH,LH,CC,DC,WC\n"),
        ("Data/CSV/e.csv", &line("E15 4LZ", 539_000, "E09000025")),
        ("Data/CSV/s.csv", &line("S70 1AA", 434_000, "E08000016")),
    ]);
    assert_eq!(source(&zip).unwrap().shape, Shape::CodePointOpen);
    let in_use = compiled(OWN.as_bytes(), None);
    let new = compiled(&zip, Some(&in_use.table));
    assert_eq!((new.table.counts().total(), new.kept_as_retired), (5, 3));
    assert!(found(&new, "W10 4AA").unwrap().retired, "kept, for families still give it");
    assert!(!found(&new, "E15 4LZ").unwrap().retired);
}

#[test]
fn hints_are_carried_over_where_nothing_can_be_measured() {
    let in_use = compiled(OWN.as_bytes(), None);
    let new = compiled(NSPL.as_bytes(), Some(&in_use.table));
    assert_eq!(new.table.meta().near, NearBasis::CarriedOver);
    assert_eq!(found(&new, "E15 4LZ").unwrap().near.unwrap().metres, 150);
}

#[test]
fn what_changes_is_counted() {
    let before = compiled(OWN.as_bytes(), None);
    let after = OWN
        .replace("E154LZ,E09000025,A", "E154LZ,E09000030,T")
        .replace("W104AA,E09000033", "W104AB,E09000033")
        .replace("GIR0AA,,N", "GIR0AA,E09000007,N");
    let after = compiled(after.as_bytes(), None);
    let day = Date::new(2026, 11, 21).unwrap();
    let summary = compare(&before.table, &after.table, &districts(), day);
    let expected = Summary {
        added: 1,
        gone: 1,
        other_district: 1,
        other_authority: 1,
        placed: 1,
        retired: 1,
        same: 2,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
}

#[test]
fn a_wrong_partial_or_contradictory_file_is_refused() {
    let garbled = ONSPD_OLD.replace("E09000025", "Newham");
    assert!(matches!(source(garbled.as_bytes()), Err(Failure::Unreadable(2))));
    let partial = source(OWN.as_bytes()).unwrap();
    assert!(matches!(partial.check_size(100), Err(Failure::Shrinks { live: 4, in_use: 100 })));
    assert!(partial.check_size(4).is_ok());
    let twice = format!("{OWN}E154LZ,E09000030,A,,\n");
    let twice = source(twice.as_bytes()).unwrap();
    let refused = compile(twice, sha256(b""), (2026, 2), &districts(), None);
    assert!(matches!(refused.err(), Some(Failure::Build(_))));
}

#[test]
fn a_code_that_no_district_has_is_named_and_asks_a_person() {
    let new = OWN.replace("E09000033", "E06000999");
    let new = compiled(new.as_bytes(), None);
    assert_eq!(
        new.unknown_codes.into_iter().map(|(c, n)| (c.to_string(), n)).next(),
        Some(("E06000999".to_string(), 1))
    );
}
