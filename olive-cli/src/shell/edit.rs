//! Lines from a terminal: editing, history, completion.

use std::env;
use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Helper};

use crate::args::Line;
use crate::failure::say;

pub(super) struct Editor {
    editor: rustyline::Editor<Words, FileHistory>,
    prompt: String,
    /// Where lines are remembered, if there is such a place.
    history: Option<PathBuf>,
}

impl Editor {
    pub(super) fn open(addr: &str) -> rustyline::Result<Editor> {
        let config = Config::builder()
            .max_history_size(1_000)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .auto_add_history(true)
            .build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(Words::of_commands()));
        let history = history_file();
        if let Some(path) = &history
            && path.exists()
            && let Err(error) = editor.load_history(path)
        {
            say(&format!("olive-cli: cannot read the history {}: {error}", path.display()));
        }
        Ok(Editor { editor, prompt: format!("olive {addr}> "), history })
    }

    /// The next line; `None` at the end. A line that is given up is an empty one.
    pub(super) fn line(&mut self) -> rustyline::Result<Option<String>> {
        match self.editor.readline(&self.prompt) {
            Ok(line) => {
                self.remember();
                Ok(Some(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Appends the line to the file at once, so that a killed shell loses nothing and two
    /// shells do not overwrite each other's lines.
    fn remember(&mut self) {
        let Some(path) = &self.history else { return };
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) =
            made.map_err(ReadlineError::from).and_then(|()| self.editor.append_history(path))
        {
            say(&format!("olive-cli: cannot write the history {}: {error}", path.display()));
            self.history = None;
        }
    }
}

/// `olive/history` in the folder for state of the XDG rules.
fn history_file() -> Option<PathBuf> {
    let absolute =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("olive").join("history"))
}

/// Completes commands, and the options of a command.
struct Words {
    commands: Vec<(String, Vec<String>)>,
}

impl Words {
    fn of_commands() -> Words {
        let mut line = Line::command();
        // Options of all commands come to each of them.
        line.build();
        let mut commands: Vec<(String, Vec<String>)> = line
            .get_subcommands()
            .map(|command| {
                let options = command.get_arguments().filter(|option| !option.is_hide_set());
                let options =
                    options.filter_map(|option| Some(format!("--{}", option.get_long()?)));
                let values = command.get_positionals().flat_map(clap::Arg::get_possible_values);
                let values = values.map(|value| value.get_name().to_owned());
                (command.get_name().to_owned(), options.chain(values).collect())
            })
            .collect();
        commands.sort();
        Words { commands }
    }

    /// Where the word before the cursor begins, and what it can become.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind([' ', '\t']).map_or(0, |at| at + 1);
        let (before, word) = line.split_at(start);
        let fits = |name: &&String| name.starts_with(word);
        let words = match before.split_whitespace().next() {
            None | Some("help") => {
                self.commands.iter().map(|(name, _)| name).filter(fits).cloned().collect()
            }
            Some(first) => {
                let command = self.commands.iter().find(|(name, _)| name == first);
                let options = command.map(|(_, options)| &options[..]).unwrap_or_default();
                options.iter().filter(fits).cloned().collect()
            }
        };
        (start, words)
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut words) = self.candidates(&line[..cursor]);
        // One that is whole is followed by a space.
        if let [word] = &mut words[..] {
            word.push(' ');
        }
        Ok((start, words))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn commands_and_options_are_completed() {
        let words = Words::of_commands();
        for (line, start, expected) in [
            (
                "",
                0,
                &[
                    "batch",
                    "bench",
                    "completions",
                    "delete",
                    "exit",
                    "get",
                    "help",
                    "mget",
                    "ping",
                    "put",
                    "scan",
                    "stats",
                ][..],
            ),
            ("p", 0, &["ping", "put"]),
            ("  pu", 2, &["put"]),
            ("help sc", 5, &["scan"]),
            ("scan --re", 5, &["--reverse"]),
            ("scan --from a --form", 14, &["--format"]),
            ("completions zs", 12, &["zsh"]),
            ("get a", 4, &[]),
            ("nonsense --f", 9, &[]),
        ] {
            let (at, found) = words.candidates(line);
            assert_eq!(
                (at, &found[..]),
                (start, &expected.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
    }
}
