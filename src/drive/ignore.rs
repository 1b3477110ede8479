//! What of a folder is never published: `.dat`, hidden names, `.DS_Store`, and what `.datignore`
//! says, in the language of gitignore.

use std::path::Path;

use crate::drive::path::DAT_DIR;
use crate::limits::{IGNORE_BYTES, IGNORE_PATTERNS};

/// The file in the folder's root that holds patterns.
pub const DATIGNORE: &str = ".datignore";

/// The rules of one folder. The last pattern that matches decides; patterns decide over the
/// defaults, except that `.dat` is never published.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// In fast-glob's language, for the whole path.
    glob: String,
    /// `!`: what matches is published after all.
    negated: bool,
    dirs_only: bool,
}

impl Rules {
    /// The rules of a folder with this `.datignore` (empty if there is none).
    pub fn new(datignore: &str) -> Rules {
        let mut end = datignore.len().min(IGNORE_BYTES);
        while !datignore.is_char_boundary(end) {
            end -= 1;
        }
        let lines = datignore[..end].lines();
        Rules { patterns: lines.filter_map(Pattern::parse).take(IGNORE_PATTERNS).collect() }
    }

    /// Whether the path (relative to the folder) is left out, by itself or by a directory above it.
    pub fn ignores(&self, path: &Path, is_dir: bool) -> bool {
        let Some(path) = path.to_str() else { return false };
        let ends = path.match_indices('/').map(|(at, _)| (at, true)).chain([(path.len(), is_dir)]);
        ends.into_iter().any(|(end, is_dir)| self.ignores_itself(&path[..end], is_dir))
    }

    /// Whether the path is left out, given that the directories above it are not.
    pub fn ignores_itself(&self, path: &str, is_dir: bool) -> bool {
        if path.eq_ignore_ascii_case(DAT_DIR) {
            return true;
        }
        let decided = self.patterns.iter().rev().find(|p| p.matches(path, is_dir));
        decided.map_or_else(|| by_default(path), |pattern| !pattern.negated)
    }
}

/// Hidden names are left out, but for `.well-known/dat`.
fn by_default(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    match (dir, name) {
        ("", ".well-known") | (".well-known", "dat") => false,
        (".well-known", _) => true,
        _ => name.starts_with('.'),
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Pattern> {
        let mut text = trim_end(line.strip_prefix('\u{feff}').unwrap_or(line));
        if text.starts_with('#') {
            return None;
        }
        let negated = text.starts_with('!');
        text = text.strip_prefix('!').unwrap_or(text);
        let dirs_only = text.ends_with('/') && !text.ends_with("\\/");
        text = text.strip_suffix('/').unwrap_or(text);
        let anchored = text.contains('/');
        text = text.strip_prefix('/').unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let body = translate(text);
        let glob = if anchored || text == "**" { body } else { format!("**/{body}") };
        Some(Pattern { glob, negated, dirs_only })
    }

    fn matches(&self, path: &str, is_dir: bool) -> bool {
        (is_dir || !self.dirs_only) && fast_glob::glob_match(&self.glob, path)
    }
}

/// Trailing spaces do not count unless escaped.
fn trim_end(line: &str) -> &str {
    let trimmed = line.trim_end_matches([' ', '\t', '\r']);
    if trimmed.ends_with('\\') && trimmed.len() < line.len() {
        &line[..trimmed.len() + 1]
    } else {
        trimmed
    }
}

/// gitignore's language in fast-glob's: `**` is special only as a whole component. Braces are
/// alternatives, as in `dat` and ripgrep.
fn translate(text: &str) -> String {
    let components: Vec<String> = text
        .split('/')
        .map(|component| if component == "**" { component.to_owned() } else { one(component) })
        .collect();
    components.join("/")
}

fn one(component: &str) -> String {
    let mut out = String::with_capacity(component.len() + 4);
    let mut chars = component.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push('\\');
                out.push(chars.next().unwrap_or('\\'));
                continue;
            }
            '*' if !in_class => while chars.next_if_eq(&'*').is_some() {},
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ignored(rules: &str, path: &str) -> bool {
        let is_dir = path.ends_with('/');
        Rules::new(rules).ignores(Path::new(path.trim_end_matches('/')), is_dir)
    }

    #[test]
    fn defaults() {
        for path in [
            ".dat/",
            ".DAT/",
            ".dat/metadata.key",
            ".git/",
            "a/.hidden",
            ".DS_Store",
            "a/.DS_Store",
            ".datignore",
            ".well-known/other",
            ".well-known/.x",
        ] {
            assert!(ignored("", path), "{path}");
        }
        for path in ["a", "a/b.dat", "dat", ".well-known/", ".well-known/dat", "dat.json", "a/b/"] {
            assert!(!ignored("", path), "{path}");
        }
        assert!(ignored("!.dat\n!*", ".dat/"));
        assert!(!ignored("!.htaccess", "x/.htaccess"));
    }

    #[test]
    fn patterns() {
        let rules = "# comment\n*.tmp\n!keep.tmp\n/top\nbuild/\ndocs/*.txt\na/**/z\n\\#x\n";
        for path in [
            "x.tmp",
            "d/x.tmp",
            "top",
            "build/",
            "q/build/",
            "build/x",
            "docs/a.txt",
            "a/z",
            "a/b/c/z",
            "#x",
        ] {
            assert!(ignored(rules, path), "{path}");
        }
        for path in ["keep.tmp", "d/keep.tmp", "d/top", "build", "docs/d/a.txt", "comment", "b/z"] {
            assert!(!ignored(rules, path), "{path}");
        }
    }

    /// Pieces of patterns and paths that meet often.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "a", "b", "ab", "*", "a*", "?", "[ab]", "[!a]", "**", "b.c", "x{a,b}",
        ])
    }

    proptest! {
        #[test]
        fn agrees_with_the_ignore_crate(
            lines in prop::collection::vec(
                (any::<bool>(), any::<bool>(), prop::collection::vec(piece(), 1..4), any::<bool>()),
                1..4,
            ),
            path in prop::collection::vec(
                prop::sample::select(vec!["a", "b", "ab", "b.c", "c", "xa", "x{a,b}"]), 1..5),
            is_dir: bool,
        ) {
            let mut text = String::new();
            let mut builder = ::ignore::gitignore::GitignoreBuilder::new("");
            for (negated, rooted, parts, dirs) in &lines {
                let line = format!(
                    "{}{}{}{}",
                    if *negated { "!" } else { "" },
                    if *rooted { "/" } else { "" },
                    parts.join("/"),
                    if *dirs { "/" } else { "" },
                );
                builder.add_line(None, &line).unwrap();
                text.push_str(&line);
                text.push('\n');
            }
            let theirs = builder.build().unwrap();
            let path = path.join("/");
            // Theirs knows no defaults; none of these names is hidden.
            let expected = path
                .match_indices('/')
                .map(|(at, _)| (at, true))
                .chain([(path.len(), is_dir)])
                .any(|(end, dir)| theirs.matched(&path[..end], dir).is_ignore());
            prop_assert_eq!(Rules::new(&text).ignores(Path::new(&path), is_dir), expected,
                "{} in {:?}", path, text);
        }
    }
}
