//! The manual page and the shell completions in contrib/ are those of the program.
//!
//! `GANNET_WRITE_DOCS=1 cargo test --test docs` writes them anew.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::path::Path;
use std::{env, fs, io};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

#[test]
fn manual_page_and_completions_are_those_of_the_program() {
    same("man/gannet.1", &page().expect("a page in memory"));
    for (shell, path) in [
        (Shell::Bash, "completions/gannet.bash"),
        (Shell::Fish, "completions/gannet.fish"),
        (Shell::Zsh, "completions/_gannet"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut gannet::cli::words(), "gannet", &mut script);
        same(path, &script);
    }
}

fn same(path: &str, expected: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(path);
    if env::var_os("GANNET_WRITE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("below contrib")).expect("a directory");
        fs::write(&path, expected).expect("a file in contrib");
    }
    let there = fs::read(&path).unwrap_or_default();
    assert!(
        there == expected,
        "{} is not of this program any more: GANNET_WRITE_DOCS=1 cargo test --test docs writes it anew",
        path.display()
    );
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = gannet::cli::words();
    command.build();
    let mut out = Vec::new();
    let man = Man::new(command.clone()).section("1");
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    for sub in command.get_subcommands() {
        section(sub, sub.get_name(), &mut out)?;
    }
    let mut extra = Vec::new();
    man.render_extra_section(&mut extra)?;
    out.extend(b".SH EXAMPLES AND EXIT CODES\n");
    out.extend(as_typed(&extra));
    man.render_version_section(&mut out)?;
    Ok(out)
}

/// A command (and those below it) under a heading of its own.
fn section(command: &Command, name: &str, out: &mut Vec<u8>) -> io::Result<()> {
    use io::Write as _;
    writeln!(out, ".SH \"GANNET {}\"", name.to_uppercase())?;
    let man = Man::new(command.clone());
    for part in [Man::render_synopsis_section, Man::render_description_section] {
        let mut text = Vec::new();
        part(&man, &mut text)?;
        out.extend(without_heading(&text));
    }
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    out.extend(without_heading(&options));
    let mut extra = Vec::new();
    man.render_extra_section(&mut extra)?;
    out.extend(as_typed(&extra));
    for sub in command.get_subcommands() {
        section(sub, &format!("{name} {}", sub.get_name()), out)?;
    }
    Ok(())
}

/// A rendered section without its `.SH` line.
fn without_heading(text: &[u8]) -> Vec<u8> {
    let mut out = b".PP\n".to_vec();
    text.split_inclusive(|b| *b == b'\n')
        .filter(|line| {
            !line.starts_with(b".SH") && !line.starts_with(b".ie") && !line.starts_with(b".el")
        })
        .for_each(|line| out.extend_from_slice(line));
    out
}

/// Examples keep their line breaks.
fn as_typed(text: &[u8]) -> Vec<u8> {
    [b".nf\n", &without_heading(text)[..], b".fi\n"].concat()
}
