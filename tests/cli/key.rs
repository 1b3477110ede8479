//! Secret keys: shown, exported, imported, where JavaScript programs keep them (dat/SPEC §10).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Home;

const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn secret() -> String {
    format!("{SEED}{PUBLIC}")
}

/// A home with a drive whose secret key is not there.
fn drive() -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("folder/.dat")).unwrap();
    std::fs::write(home.path("folder/.dat/metadata.key"), hex::decode(PUBLIC).unwrap()).unwrap();
    home
}

fn kept(home: &Home) -> PathBuf {
    let public: [u8; 32] = hex::decode(PUBLIC).unwrap().try_into().unwrap();
    let discovery = hex::encode(gannet::crypto::hash::discovery_key(&public));
    home.path(".dat/secret_keys").join(&discovery[..2]).join(&discovery[2..])
}

#[test]
fn a_drives_secret_key_goes_to_the_home_directory_and_comes_back() {
    let home = drive();
    home.run(&["key", "export", "folder"]).failed(3, "the secret key is not here");
    assert!(home.run(&["key", "show", "folder"]).ok().contains("secret key     not here\n"));

    let imported = home.feed(&["key", "import", "folder"], format!("{}\n", secret()).as_bytes());
    assert_eq!(imported.ok(), "");
    assert_eq!(hex::encode(std::fs::read(kept(&home)).unwrap()), secret());
    let mode = std::fs::metadata(kept(&home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read(home.path("folder/.dat/metadata.ogd")).unwrap(), [0]);

    assert_eq!(home.run(&["key", "export", "folder"]).ok(), format!("{}\n", secret()));
    let shown = home.run(&["key", "show", "folder"]);
    assert!(shown.ok().contains(&format!("link           dat://{PUBLIC}\n")));
    assert!(shown.ok().contains("secret key     here\n"));
    let figures = home.run(&["key", "show", "folder", "--json"]);
    let figures: serde_json::Value = serde_json::from_str(figures.ok()).unwrap();
    assert_eq!(figures["key"], PUBLIC);
    assert_eq!(figures["writable"], true);
    // Again is no harm.
    home.feed(&["key", "import", "folder"], secret().as_bytes()).ok();
}

#[test]
fn a_bare_feeds_secret_key_lies_beside_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("feed")).unwrap();
    std::fs::write(home.path("feed/key"), hex::decode(PUBLIC).unwrap()).unwrap();
    home.feed(&["key", "import", "feed"], secret().as_bytes()).ok();
    assert_eq!(hex::encode(std::fs::read(home.path("feed/secret_key")).unwrap()), secret());
    assert_eq!(home.run(&["key", "export", "feed"]).ok(), format!("{}\n", secret()));
    assert!(!home.path(".dat").exists());
}

/// Folders from before 2018 have it in `.dat`.
#[test]
fn an_old_folders_secret_key_is_found() {
    let home = drive();
    let place = home.path("folder/.dat/metadata.secret_key");
    std::fs::write(place, hex::decode(secret()).unwrap()).unwrap();
    assert_eq!(home.run(&["key", "export", "folder"]).ok(), format!("{}\n", secret()));
}

#[test]
fn what_is_no_secret_key_is_refused() {
    let home = drive();
    let import = |text: &str| home.feed(&["key", "import", "folder"], text.as_bytes());
    import("").failed(2, "a secret key is 128 hex digits");
    import(&secret()[2..]).failed(2, "a secret key is 128 hex digits");
    import(&secret().replace('a', "x")).failed(2, "a secret key is 128 hex digits");
    import(&secret().replace("03a1", "03a2")).failed(2, "do not belong together");
    let other = gannet::crypto::sign::KeyPair::from_seed([7; 32]);
    import(&hex::encode(other.secret().as_slice())).failed(2, "another signer");
    assert!(!kept(&home).exists());
}

#[test]
fn a_damaged_secret_key_is_named() {
    let home = drive();
    std::fs::create_dir_all(kept(&home).parent().unwrap()).unwrap();
    std::fs::write(kept(&home), [1; 64]).unwrap();
    home.run(&["key", "export", "folder"]).failed(5, "belongs to another feed");
    std::fs::write(kept(&home), [1; 10]).unwrap();
    home.run(&["key", "show", "folder"]).failed(5, "cut off");
    std::fs::write(home.path("folder/.dat/metadata.key"), [1; 31]).unwrap();
    home.run(&["key", "show", "folder"]).failed(5, "metadata.key does not have 32 bytes");
}
