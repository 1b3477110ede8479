//! Figures and names as a line of text shows them.

use std::fmt::{self, Write as _};

/// Text of strangers for a terminal or a log: control characters escaped.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() || is_bidi_control(c) => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

/// Characters that reorder what follows, and so could disguise a name.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes with a decimal unit: `999 B`, `1.5 kB`, `12 MB`.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        // Tenths of the unit, rounded down: "1.0 MB" is never less than that.
        let mut tenths = self.0 / 100;
        for unit in UNITS {
            if tenths < 100 {
                return write!(f, "{}.{} {unit}", tenths / 10, tenths % 10);
            }
            if tenths < 10_000 {
                return write!(f, "{} {unit}", tenths / 10);
            }
            tenths /= 1000;
        }
        Ok(())
    }
}

/// What somebody means by `20G`, `500M` or `1000000`, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(unit, _)| text.ends_with([*unit, unit.to_ascii_uppercase()]));
    let digits = if unit.is_some() { &text[..text.len() - 1] } else { text };
    digits.parse::<u64>().ok()?.checked_mul(1 << unit.map_or(0, |(_, bits)| *bits))
}

/// Seconds: `5 s`, `1 min 5 s`, `2 h 3 min`, `4 d 5 h`.
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        match s {
            0..60 => write!(f, "{s} s"),
            60..3600 => write!(f, "{} min {} s", s / 60, s % 60),
            3600..86_400 => write!(f, "{} h {} min", s / 3600, s / 60 % 60),
            _ => write!(f, "{} d {} h", s / 86_400, s / 3600 % 24),
        }
    }
}

/// A number of things: `1 file`, `2 files`.
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_999, "1.9 kB"),
            (10_000, "10 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.0 MB"),
            (1 << 30, "1.0 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn spans_and_counts() {
        assert_eq!(Span(59).to_string(), "59 s");
        assert_eq!(Span(61).to_string(), "1 min 1 s");
        assert_eq!(Span(3_720).to_string(), "1 h 2 min");
        assert_eq!(Span(90_000).to_string(), "1 d 1 h");
        assert_eq!(Count(1, "peer").to_string(), "1 peer");
        assert_eq!(Count(0, "peer").to_string(), "0 peers");
    }

    #[test]
    fn names_cannot_move_the_cursor_or_reorder_the_line() {
        assert_eq!(Plain("über/a b").to_string(), "über/a b");
        assert_eq!(Plain("\x1b[2J").to_string(), "\\u{1b}[2J");
        assert_eq!(Plain("gpj.\u{202e}exe").to_string(), "gpj.\\u{202e}exe");
    }
}
