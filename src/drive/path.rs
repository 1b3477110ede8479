//! Names in a drive come from strangers and become paths below the folder. Here they are judged;
//! the [`Disk`](crate::store::disk::Disk) then refuses links in parents as a second line.

use std::path::PathBuf;

use crate::limits::{DRIVE_COMPONENT_BYTES, DRIVE_DEPTH, DRIVE_NAME_BYTES};

/// Where a folder keeps its feeds; never part of a drive.
pub const DAT_DIR: &str = ".dat";

/// Why a name cannot be a path in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the name is empty")]
    Empty,
    #[error("the name has an empty component")]
    EmptyComponent,
    #[error("the name leads out of the folder")]
    LeavesFolder,
    #[error("the name has a NUL character")]
    Nul,
    #[error("the name is in the folder's own .dat directory")]
    DatDirectory,
    #[error("the name is too long or too deep")]
    TooLong,
    #[error("the name is not possible on Windows")]
    Windows,
    #[error("the name is not UTF-8")]
    NotUtf8,
}

/// The path below the folder for an entry named `/a/b` (one leading slash may be missing).
pub fn check(name: &str) -> Result<PathBuf, Refusal> {
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if name.len() > DRIVE_NAME_BYTES {
        return Err(Refusal::TooLong);
    }
    for (depth, part) in name.split('/').enumerate() {
        if depth == DRIVE_DEPTH {
            return Err(Refusal::TooLong);
        }
        check_component(part)?;
        if depth == 0 && part.eq_ignore_ascii_case(DAT_DIR) {
            return Err(Refusal::DatDirectory);
        }
    }
    Ok(PathBuf::from(name))
}

/// Whether a symbolic link named `name` may lead to `target`: up to the folder and down again, no
/// further. Links are not followed here, so a way up behind a name, which may be another link, is
/// refused.
pub fn check_link(name: &str, target: &str) -> Result<(), Refusal> {
    if target.len() > DRIVE_NAME_BYTES {
        return Err(Refusal::TooLong);
    }
    if target.is_empty() {
        return Err(Refusal::Empty);
    }
    let name = name.strip_prefix('/').unwrap_or(name);
    let mut depth = name.split('/').count() - 1;
    let mut down = false;
    for part in target.split('/').enumerate() {
        match part {
            // An absolute one; elsewhere it means nothing.
            (0, "") => return Err(Refusal::LeavesFolder),
            (_, "" | ".") => {}
            (_, "..") if down || depth == 0 => return Err(Refusal::LeavesFolder),
            (_, "..") => depth -= 1,
            (_, part) => {
                if !down && depth == 0 && part.eq_ignore_ascii_case(DAT_DIR) {
                    return Err(Refusal::DatDirectory);
                }
                check_component(part)?;
                down = true;
            }
        }
    }
    Ok(())
}

fn check_component(part: &str) -> Result<(), Refusal> {
    if part.is_empty() {
        return Err(Refusal::EmptyComponent);
    }
    if part.contains('\0') {
        return Err(Refusal::Nul);
    }
    if matches!(part, "." | "..") || escapes_on_windows(part) {
        return Err(Refusal::LeavesFolder);
    }
    if part.len() > DRIVE_COMPONENT_BYTES {
        return Err(Refusal::TooLong);
    }
    if cfg!(windows) && is_windows_trap(part) {
        return Err(Refusal::Windows);
    }
    Ok(())
}

/// Names that would lead elsewhere on Windows are refused on every system, so that a folder can be
/// carried there.
fn escapes_on_windows(part: &str) -> bool {
    let bytes = part.as_bytes();
    let drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && &bytes[1..3] == b":\\";
    drive || part.starts_with('\\') || part.split('\\').any(|piece| piece == "..")
}

/// Device names, streams and names that Windows changes; plain names elsewhere.
pub fn is_windows_trap(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let device = ["CON", "PRN", "AUX", "NUL"].iter().any(|d| stem.eq_ignore_ascii_case(d));
    let port = stem.len() == 4
        && stem.is_char_boundary(3)
        && ["COM", "LPT"].iter().any(|d| stem[..3].eq_ignore_ascii_case(d))
        && stem[3..].bytes().all(|b| b.is_ascii_digit() && b != b'0');
    let odd = part.bytes().any(|b| b < 32 || b"<>:\"|?*\\".contains(&b));
    device || port || odd || part.ends_with('.') || part.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d04_names_that_lead_out_are_refused() {
        let long = "x".repeat(256);
        let longer = "abc/".repeat(1100) + "x";
        let deep = "a/".repeat(128) + "x";
        for (name, why) in [
            ("", Refusal::Empty),
            ("/", Refusal::Empty),
            ("//etc/passwd", Refusal::EmptyComponent),
            ("/a//b", Refusal::EmptyComponent),
            ("/a/", Refusal::EmptyComponent),
            ("/../x", Refusal::LeavesFolder),
            ("/a/../../x", Refusal::LeavesFolder),
            ("..", Refusal::LeavesFolder),
            ("/.", Refusal::LeavesFolder),
            ("/a/..\\..\\x", Refusal::LeavesFolder),
            ("/C:\\windows", Refusal::LeavesFolder),
            ("/\\\\server\\share", Refusal::LeavesFolder),
            ("/a\0b", Refusal::Nul),
            ("/.dat", Refusal::DatDirectory),
            ("/.dat/metadata.key", Refusal::DatDirectory),
            ("/.DAT/x", Refusal::DatDirectory),
            (long.as_str(), Refusal::TooLong),
            (longer.as_str(), Refusal::TooLong),
            (deep.as_str(), Refusal::TooLong),
        ] {
            assert_eq!(check(name), Err(why), "{name:?}");
        }
    }

    #[test]
    fn d04_links_that_lead_out_are_refused() {
        for (name, target, why) in [
            ("/a", "", Refusal::Empty),
            ("/a", "/etc/passwd", Refusal::LeavesFolder),
            ("/a", "..", Refusal::LeavesFolder),
            ("/a/b", "../../x", Refusal::LeavesFolder),
            ("/a/b", "./.././../x", Refusal::LeavesFolder),
            ("/a", "b/../x", Refusal::LeavesFolder),
            ("/a", "C:\\x", Refusal::LeavesFolder),
            ("/a", ".dat/x", Refusal::DatDirectory),
            ("/a/b", ".././.DAT", Refusal::DatDirectory),
            ("/a", "b\0", Refusal::Nul),
        ] {
            assert_eq!(check_link(name, target), Err(why), "{name} {target:?}");
        }
        for (name, target) in [
            ("/a", "b"),
            ("/a", "./b//c/"),
            ("/a/b/c", "../../d"),
            ("/a/b", ".."),
            ("/a/b", ".dat"),
        ] {
            assert_eq!(check_link(name, target), Ok(()), "{name} {target:?}");
        }
    }

    #[test]
    fn d04_other_names_are_paths_below_the_folder() {
        for name in
            ["a", "/a/b", "/a/.dat", "/...", "/ü/日本 語/\u{1f426}", "/a\\b", "/x:y", "/nul"]
        {
            let path = check(name).unwrap();
            assert!(path.is_relative());
            assert_eq!(path.to_str(), Some(name.trim_start_matches('/')));
        }
    }

    #[test]
    fn d04_windows_traps() {
        for name in ["CON", "nul.txt", "com1", "LPT9.x", "a.", "a ", "a:b", "a?", "a\\b", "x\u{1}"]
        {
            assert!(is_windows_trap(name), "{name}");
        }
        for name in ["console", "com0", "com10", "a.b", "日本日本"] {
            assert!(!is_windows_trap(name), "{name}");
        }
    }
}
