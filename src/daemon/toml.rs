//! TOML as a tree whose values know their lines. The parser is `toml_parser`, which says what it sees;
//! here that becomes tables, by TOML's rules of what may be defined twice. (The `toml` crate does that too,
//! for three times as many bytes of program, and forgets the lines.)

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

use crate::limits;

/// What is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub line: usize,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<Item>),
    Table(Table),
    /// `[[name]]`
    Tables(Vec<Table>),
    /// A date or a fraction, of which there are none here.
    Other,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Where it begins.
    pub line: usize,
    made: Made,
    entries: Vec<(String, Item)>,
}

/// How a table came to be, which says whether more may be put into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Made {
    /// On the way to another one.
    #[default]
    ByTheWay,
    ByHeader,
    ByDots,
    Inline,
}

impl Table {
    /// Takes an entry out.
    pub fn take(&mut self, name: &str) -> Option<Item> {
        let at = self.entries.iter().position(|(known, _)| known == name)?;
        Some(self.entries.remove(at).1)
    }

    /// The first of what is left, by line.
    pub fn first(&self) -> Option<(&str, usize)> {
        let first = self.entries.iter().min_by_key(|(_, item)| item.line)?;
        Some((&first.0, first.1.line))
    }

    fn get(&mut self, name: &str) -> Option<&mut Value> {
        let entry = self.entries.iter_mut().find(|(known, _)| known == name);
        entry.map(|(_, item)| &mut item.value)
    }

    fn put(&mut self, name: &str, line: usize, value: Value) {
        self.entries.push((name.to_owned(), Item { line, value }));
    }

    /// The table of a name, made if there is none. `None`: what is there takes nothing more.
    fn below(&mut self, name: &str, line: usize, made: Made) -> Option<&mut Table> {
        if self.get(name).is_none() {
            let table = Table { line, made, ..Table::default() };
            self.put(name, line, Value::Table(table));
        }
        match self.get(name)? {
            Value::Table(table) if made == Made::ByDots && table.made != Made::ByDots => None,
            Value::Table(table) if table.made == Made::Inline => None,
            Value::Table(table) => Some(table),
            Value::Tables(tables) if made != Made::ByDots => tables.last_mut(),
            _ => None,
        }
    }

    /// The table in which the last of these names stands.
    fn way(&mut self, names: &[(String, usize)], made: Made) -> Option<&mut Table> {
        let mut table = self;
        for (name, line) in names {
            table = table.below(name, *line, made)?;
        }
        Some(table)
    }
}

/// Reads a whole document.
pub fn parse(text: &str) -> Result<Table, Wrong> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut tree = Tree {
        source,
        root: Table::default(),
        here: Vec::new(),
        names: Vec::new(),
        frames: Vec::new(),
        wrong: None,
    };
    let mut error: Option<ParseError> = None;
    parse_document(&tokens, &mut tree, &mut error);
    if let Some(error) = error {
        let at = error.unexpected().or(error.context()).map_or(0, |span| span.start());
        let line = tree.line(at);
        if tree.wrong.as_ref().is_none_or(|wrong| line <= wrong.line) {
            return Err(Wrong { line, what: format!("this is no TOML: {}", error.description()) });
        }
    }
    tree.wrong.map_or(Ok(tree.root), Err)
}

/// What is being put together.
struct Tree<'a> {
    source: Source<'a>,
    root: Table,
    /// The table that the last header named.
    here: Vec<(String, usize)>,
    /// Names seen since the last value or header, and their lines.
    names: Vec<(String, usize)>,
    /// Lists and inline tables that are open, with the names that they are for.
    frames: Vec<(Frame, Vec<(String, usize)>)>,
    wrong: Option<Wrong>,
}

enum Frame {
    List(usize, Vec<Item>),
    Inline(Table),
}

impl Tree<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.source.input().as_bytes().get(..at).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn wrong(&mut self, line: usize, what: impl Into<String>) {
        self.wrong.get_or_insert(Wrong { line, what: what.into() });
    }

    fn twice(&mut self, names: &[(String, usize)]) {
        let name: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let line = names.last().map_or(0, |(_, line)| *line);
        self.wrong(line, format!("{} stands here a second time", name.join(".")));
    }

    fn value(&mut self, item: Item) {
        if let Some((Frame::List(_, items), _)) = self.frames.last_mut() {
            items.push(item);
            return;
        }
        let names = std::mem::take(&mut self.names);
        let Some(((last, line), way)) = names.split_last() else { return };
        let table = match self.frames.last_mut() {
            Some((Frame::Inline(table), _)) => Some(table),
            _ => self.root.way(&self.here, Made::ByTheWay),
        };
        let done = table.and_then(|table| table.way(way, Made::ByDots)).is_some_and(|table| {
            let new = table.get(last).is_none();
            if new {
                table.put(last, *line, item.value);
            }
            new
        });
        if !done {
            self.twice(&names);
        }
    }

    /// The header of a table, or of one of several of a name, is over.
    fn header(&mut self, several: bool) {
        let names = std::mem::take(&mut self.names);
        let Some(((last, line), way)) = names.split_last() else { return };
        let new = Table { line: *line, made: Made::ByHeader, ..Table::default() };
        let above = self.root.way(way, Made::ByTheWay);
        let done = above.is_some_and(|above| match (above.get(last), several) {
            (None, false) => {
                above.put(last, *line, Value::Table(new));
                true
            }
            (None, true) => {
                above.put(last, *line, Value::Tables(vec![new]));
                true
            }
            (Some(Value::Tables(tables)), true) => {
                tables.push(new);
                true
            }
            (Some(Value::Table(table)), false) if table.made == Made::ByTheWay => {
                table.made = Made::ByHeader;
                true
            }
            _ => false,
        });
        match done {
            true => self.here = names,
            false => self.twice(&names),
        }
    }

    fn open(&mut self, span: Span, frame: Frame) -> bool {
        let line = self.line(span.start());
        if self.frames.len() == limits::CONFIG_DEPTH {
            self.wrong(line, "too many lists in lists");
            return false;
        }
        let names = std::mem::take(&mut self.names);
        self.frames.push((frame, names));
        true
    }

    fn close(&mut self) {
        let Some((frame, names)) = self.frames.pop() else { return };
        self.names = names;
        self.value(match frame {
            Frame::List(line, items) => Item { line, value: Value::List(items) },
            Frame::Inline(table) => Item { line: table.line, value: Value::Table(table) },
        });
    }
}

impl EventReceiver for Tree<'_> {
    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header(false);
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header(true);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        let line = self.line(span.start());
        self.open(span, Frame::Inline(Table { line, made: Made::Inline, ..Table::default() }))
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        let line = self.line(span.start());
        self.open(span, Frame::List(line, Vec::new()))
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let mut name = String::new();
        toml_parser::Raw::new_unchecked(raw.as_str(), kind, span).decode_key(&mut name, error);
        let line = self.line(span.start());
        self.names.push((name, line));
    }

    fn scalar(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let mut text = String::new();
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), kind, span);
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(value) => Value::Bool(value),
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Other,
            },
            ScalarKind::DateTime | ScalarKind::Float => Value::Other,
        };
        let line = self.line(span.start());
        self.value(Item { line, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (usize, String) {
        let Wrong { line, what } = parse(text).expect_err(text);
        (line, what)
    }

    #[test]
    fn a_tree_with_lines() {
        let text = "a = \"x\\ty\" # why\n\n[t]\nn = 0x1f\nb = [true, \n'z']\nt.u.v = -1_000\n\
                    [[s]]\nd = 1\n[s.below]\nq = {e = 1, f.g = \"\"}\n[[s]]\n";
        let mut root = parse(text).unwrap();
        let a = root.take("a").unwrap();
        assert_eq!((a.line, a.value), (1, Value::Text("x\ty".into())));
        let Some(Item { value: Value::Table(mut t), line: 3 }) = root.take("t") else { panic!() };
        assert_eq!(t.take("n").unwrap().value, Value::Number(31));
        let Value::List(list) = t.take("b").unwrap().value else { panic!() };
        assert_eq!((list[0].line, list[1].line), (5, 6));
        assert_eq!(list[1].value, Value::Text("z".into()));
        assert_eq!(t.first(), Some(("t", 7)));
        let Some(Item { value: Value::Tables(mut s), .. }) = root.take("s") else { panic!() };
        assert_eq!((s.len(), s[0].line, s[1].line), (2, 8, 12));
        let Some(Item { value: Value::Table(mut below), .. }) = s[0].take("below") else {
            panic!()
        };
        let Some(Item { value: Value::Table(mut q), line: 11 }) = below.take("q") else { panic!() };
        assert_eq!(q.take("e").unwrap().value, Value::Number(1));
        assert!(q.take("f").is_some() && q.first().is_none());
        assert_eq!(root.first(), None);
    }

    #[test]
    fn nothing_is_said_twice() {
        for (text, line) in [
            ("a = 1\na = 2", 2),
            ("[t]\n[u]\n[t]", 3),
            ("t = 1\n[t]", 2),
            ("[[t]]\n[t]", 2),
            ("[t]\n[[t]]", 2),
            ("t.a = 1\n[t]", 2),
            ("[t]\na = {}\na.b = 1", 3),
            ("t = {a = 1}\n[t.b]", 2),
            ("q = {a = 1, a = 2}", 1),
            ("[t.u]\n[t]\nu = 1", 3),
        ] {
            assert_eq!(wrong(text).0, line, "{text}");
        }
        assert!(parse("[t.u]\n[t]\nv = 1\n[t.w]").is_ok());
    }

    #[test]
    fn what_is_no_toml_says_where() {
        for (text, line) in [
            ("a = 1\nb =", 2),
            ("a = 1\n\nb", 3),
            ("[t", 1),
            ("a = \"x", 1),
            ("a = [1,\n2", 1),
            ("\na = yes", 2),
            ("a = 1 b = 2", 1),
        ] {
            let (at, what) = wrong(text);
            assert!(at >= line && at <= text.lines().count(), "{text:?}: {at}");
            assert!(!what.contains('\n') && what.len() > 20, "{what}");
        }
        let deep = format!("a = {}", "[".repeat(100_000));
        assert_eq!(wrong(&deep).0, 1);
        assert_eq!(
            parse("a = 1.5\nb = 1979-05-27\nc = 99999999999999999999").unwrap().entries.len(),
            3
        );
    }
}
