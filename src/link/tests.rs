use super::*;
use proptest::prelude::*;

const HEX: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// From the JavaScript package hypercore-id-encoding.
const PAIRS: [(&str, &str); 3] = [
    (HEX, "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy"),
    (
        "d8c3a0597903b28d751c6e0b7107775e388ec5a3cf669bdd1e7ec41b8b8f6e72",
        "5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y",
    ),
    (
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "999999999999999999999999999999999999999999999999999o",
    ),
];

fn parse(text: &str) -> Result<Link, BadLink> {
    text.parse()
}

#[test]
fn every_spelling_of_a_dat_link() {
    for text in [
        format!("dat://{HEX}"),
        format!("DAT://{}", HEX.to_uppercase()),
        format!("dat:{HEX}"),
        format!("  dat://{HEX}/\n"),
    ] {
        let link = parse(&text).unwrap();
        assert_eq!(link.dialect, Some(Dialect::Dat));
        assert_eq!(link.to_string(), format!("dat://{HEX}"));
    }
    let link = parse(&format!("dat://{HEX}+12/a/b c.txt")).unwrap();
    assert_eq!((link.version, link.path.as_str()), (Some(12), "a/b c.txt"));
    assert_eq!(parse(&link.to_string()).unwrap(), link);
}

#[test]
fn every_spelling_of_a_hyper_link() {
    for (hex, letters) in PAIRS {
        let key = parse(hex).unwrap().key;
        assert_eq!(z32::encode(&key), letters);
        for text in [
            letters.to_owned(),
            letters.to_uppercase(),
            format!("hyper://{letters}"),
            format!("HYPER://{hex}/"),
            format!(" pear://{letters}\n"),
            format!("pear://{hex}"),
        ] {
            let link = parse(&text).unwrap();
            let dialect = Some(Dialect::Hyper);
            assert_eq!((link.key, link.version, link.dialect), (key, None, dialect), "{text}");
            assert_eq!(link.to_string(), format!("hyper://{letters}"));
        }
        let link = parse(&format!("pear://3.14.{letters}/a b.txt")).unwrap();
        assert_eq!((link.key, link.version, &link.path[..]), (key, Some(14), "a b.txt"));
        assert_eq!(parse(&link.to_string()), Ok(link));
    }
}

#[test]
fn a_key_in_hex_alone_may_be_of_either() {
    for text in [HEX.to_owned(), HEX.to_uppercase(), format!(" {HEX}/")] {
        let link = parse(&text).unwrap();
        assert_eq!((link.dialect, link.to_string()), (None, HEX.to_owned()));
    }
}

#[test]
fn malformed_links_say_why() {
    let letters = PAIRS[0].1;
    for empty in ["", "dat://", "hyper://", "pear://", "hyper:///a"] {
        assert_eq!(parse(empty), Err(BadLink::Empty), "{empty}");
    }
    assert_eq!(parse(&HEX[1..]), Err(BadLink::Size(63)));
    assert_eq!(parse(&format!("{HEX}00")), Err(BadLink::Size(66)));
    assert_eq!(parse("hyper://abc"), Err(BadLink::Size(3)));
    assert_eq!(parse("pear://abc"), Err(BadLink::Size(3)));
    assert_eq!(parse("dat://abc"), Err(BadLink::Length(3)));
    assert_eq!(parse(&format!("dat://{HEX}00")), Err(BadLink::Length(66)));
    assert_eq!(parse(&HEX.replace('0', "x")), Err(BadLink::Digit('x')));
    assert_eq!(parse("dat://grüße"), Err(BadLink::Digit('g')));
    assert_eq!(parse(&format!("dat://{letters}")), Err(BadLink::Digit('y')));
    assert_eq!(parse(&format!("https://{HEX}")), Err(BadLink::Scheme("https".into())));
    assert_eq!(parse(&format!("dat://{HEX}+new")), Err(BadLink::Version("new".into())));
    assert!(parse(&format!("dat://{HEX}+99999999999999999999")).is_err());
    assert_eq!(parse(&letters[1..]), Err(BadLink::Size(51)));
    assert_eq!(parse(&format!("hyper://{letters}y")), Err(BadLink::Size(53)));
    assert_eq!(parse(&format!("v{}", &letters[1..])), Err(BadLink::Letter('v')));
    assert_eq!(parse(&format!("{}9", &letters[..51])), Err(BadLink::Last));
    assert_eq!(parse(&format!("pear://7.{letters}")), Err(BadLink::Version("7".into())));
    assert!(parse(&format!("pear://x.1.{letters}")).is_err());
    assert!(parse(&format!("{letters}+new")).is_err());
}

proptest! {
    #[test]
    fn letters_come_back(key: [u8; 32]) {
        let key = Key(key);
        prop_assert_eq!(z32::decode(&z32::encode(&key)), Ok(key));
    }

    #[test]
    fn any_text_ends(text: String) {
        let _ = parse(&text);
        let _ = z32::decode(&text);
    }
}
