//! `provara man`: the man pages, from the same help texts.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use provara_explain::io_failure;
use provara_report::Diagnostic;

use crate::commands::Cli;
use crate::output_file;
use crate::terminal::{self, GOOD};
use crate::text::counted;

/// Write the man pages into a directory, one for each command
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara man ~/.local/share/man/man1
  man provara-verify")]
pub(crate) struct ManArgs {
    /// The directory, which is made if it is not there; pages of these names in it are replaced
    #[arg(value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    directory: PathBuf,
}

pub(crate) fn run(args: &ManArgs) -> Result<(), Diagnostic> {
    let directory = &args.directory;
    fs::create_dir_all(directory)
        .map_err(|error| io_failure("make the directory", directory, &error))?;
    let mut pages = Vec::new();
    let mut command = Cli::command();
    command.build();
    collect(&command, "provara", &mut pages);
    for (name, page) in &pages {
        let path = directory.join(format!("{name}.1"));
        output_file::refuse_special(&path)?;
        fs::write(&path, page).map_err(|error| io_failure("write", &path, &error))?;
    }
    let done = format!("the man pages are in '{}'", directory.display());
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Wrote{GOOD:#} {}  {}\n",
            terminal::clean(&directory.to_string_lossy()),
            counted(pages.len() as u64, "page")
        ),
    )
}

/// The pages of a command and of those below it, by their names.
fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut page = Vec::new();
    // A page refers to those below it as `provara-delta-export(1)`.
    let rendered = Man::new(command.clone().display_name(name)).render(&mut page);
    rendered.expect("memory takes what is written to it");
    pages.push((name.to_owned(), page));
    for below in command
        .get_subcommands()
        .filter(|it| it.get_name() != "help")
    {
        collect(below, &format!("{name}-{}", below.get_name()), pages);
    }
}
