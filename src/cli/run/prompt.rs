//! The prompt: one line after the other, with history and completion, until its end.
//!
//! Lines are read in a thread of their own, so that the connection lives on while somebody thinks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Editor, Helper};
use smache::client::{Cache as _, Reply};

use super::history::{self, LINES_MAX};
use super::print::Style;
use super::{Runner, split};
use crate::cli::client::explain;
use crate::cli::{Outcome, harmless, say};

const HELP: &str = "\
A command of the Redis protocol and its arguments, as in  SET greeting \"hello there\"
  help COMMAND   what a command does
  exit           end, as Ctrl-D does
Tab completes names of commands; arrows bring earlier lines back.";

/// What commands do, by their names in capital letters.
type Docs = BTreeMap<String, String>;

/// A line that was read, with who read it.
struct Read {
    editor: Box<Editor<Assistant, rustyline::history::FileHistory>>,
    line: Result<String, ReadlineError>,
}

/// Reads lines and carries them out.
pub(super) async fn run(runner: Runner, history: Option<PathBuf>) -> anyhow::Result<Outcome> {
    let docs = match runner.cache.run(["COMMAND", "DOCS"]).await {
        Ok(reply) => docs(&reply),
        Err(error) => {
            say(&format!("error: {:#}", explain(error)));
            Docs::new()
        }
    };
    let docs = Arc::new(docs);
    let mut editor = Box::new(editor(&docs, runner.style)?);
    let history = history.filter(|file| match prepare(file, &mut editor) {
        Ok(()) => true,
        Err(error) => {
            say(&format!(
                "nothing will be remembered in {}: {error}",
                file.display()
            ));
            false
        }
    });
    let address = runner.cache.address();
    let place = address
        .split_once("://")
        .map_or(address, |(_, place)| place);
    let prompt = format!("{}> ", place.trim_end_matches('/'));
    loop {
        let text = prompt.clone();
        let read = tokio::task::spawn_blocking(move || Read {
            line: editor.readline(&text),
            editor,
        });
        let read = read.await.context("the prompt has failed")?;
        editor = read.editor;
        let line = match read.line {
            Ok(line) => line,
            // Ctrl-C gives a line up, Ctrl-D the prompt.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Outcome::Done),
            Err(error) => return Err(error).context("the terminal cannot be read"),
        };
        if history::is_worth_keeping(&line) && editor.add_history_entry(&line)? {
            remember(history.as_deref(), &mut editor);
        }
        if carry_out(&runner, &docs, line.trim()).await? {
            return Ok(Outcome::Done);
        }
    }
}

/// Carries a line out. True if it was the last one.
async fn carry_out(runner: &Runner, docs: &Docs, line: &str) -> anyhow::Result<bool> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let is = |word: &str| words[0].eq_ignore_ascii_case(word);
    match words.len() {
        0 => return Ok(false),
        1 if is("exit") || is("quit") => return Ok(true),
        1 if is("help") => say(HELP),
        2 if is("help") => say(&described(docs, words[1])),
        _ => {
            let ran = match split(line.as_bytes()) {
                Ok(words) => runner.ask(words).await,
                Err(usage) => Err(usage.into()),
            };
            match ran {
                Ok(reply) => runner.show(&reply)?,
                Err(error) => say(&format!("(error) {error:#}")),
            }
        }
    }
    Ok(false)
}

fn described(docs: &Docs, name: &str) -> String {
    match docs.get(&name.to_ascii_uppercase()) {
        Some(summary) => summary.clone(),
        None => format!("{} is no command that the node knows", harmless(name)),
    }
}

/// What a node says of its commands.
fn docs(reply: &Reply) -> Docs {
    let Reply::Map(commands) = reply else {
        return Docs::new();
    };
    let text = |reply: &Reply| {
        let bytes = reply.as_bytes()?;
        Some(harmless(std::str::from_utf8(bytes).ok()?))
    };
    let command = |(name, facts): &(Reply, Reply)| {
        let Reply::Map(facts) = facts else {
            return None;
        };
        let summary = facts
            .iter()
            .find(|(fact, _)| fact.as_bytes() == Some(b"summary"));
        let summary = summary.and_then(|(_, summary)| text(summary));
        Some((
            text(name)?.to_ascii_uppercase(),
            summary.unwrap_or_default(),
        ))
    };
    commands.iter().filter_map(command).collect()
}

fn editor(
    docs: &Arc<Docs>,
    style: Style,
) -> anyhow::Result<Editor<Assistant, rustyline::history::FileHistory>> {
    let config = Config::builder()
        .max_history_size(LINES_MAX)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let mut editor = Editor::with_config(config).context("the terminal cannot be used")?;
    editor.set_helper(Some(Assistant {
        docs: Arc::clone(docs),
        coloured: style == Style::Shown { coloured: true },
    }));
    Ok(editor)
}

/// Brings back what was typed before.
fn prepare(
    file: &Path,
    editor: &mut Editor<Assistant, rustyline::history::FileHistory>,
) -> anyhow::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match editor.load_history(file) {
        Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        loaded => Ok(loaded?),
    }
}

/// Writes down what was typed, at once: a prompt may end by a signal.
fn remember(file: Option<&Path>, editor: &mut Editor<Assistant, rustyline::history::FileHistory>) {
    if let Some(file) = file
        && let Err(error) = editor.append_history(file)
    {
        say(&format!("{} cannot be written: {error}", file.display()));
    }
}

/// Helps to type.
struct Assistant {
    docs: Arc<Docs>,
    coloured: bool,
}

/// Names of commands that begin as a line does, in the letters that it is typed in.
fn completions(docs: &Docs, line: &str, position: usize) -> Vec<String> {
    let Some(typed) = line.get(..position) else {
        return Vec::new();
    };
    if typed.contains(char::is_whitespace) {
        return Vec::new();
    }
    let is_small = typed.starts_with(|letter: char| letter.is_ascii_lowercase());
    let wanted = typed.to_ascii_uppercase();
    let fitting = docs.keys().filter(|name| name.starts_with(&wanted));
    fitting
        .map(|name| match is_small {
            true => name.to_ascii_lowercase(),
            false => name.clone(),
        })
        .collect()
}

/// What the command does whose name stands before a space at the end of a line.
fn hint(docs: &Docs, line: &str) -> Option<String> {
    let name = line.strip_suffix(' ')?;
    let summary = docs.get(&name.to_ascii_uppercase())?;
    (!summary.is_empty()).then(|| format!(" {summary}"))
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let names = completions(&self.docs, line, position);
        let pair = |name: String| Pair {
            display: name.clone(),
            replacement: name + " ",
        };
        Ok((0, names.into_iter().map(pair).collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &rustyline::Context<'_>) -> Option<String> {
        (position == line.len()).then(|| hint(&self.docs, line))?
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.coloured {
            true => Cow::Owned(format!("\x1b[2m{hint}\x1b[0m")),
            false => Cow::Borrowed(hint),
        }
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Docs {
        let text = |text: &str| Reply::Bytes(text.to_owned().into());
        let summary = |is: &str| Reply::Map(vec![(text("summary"), text(is))]);
        docs(&Reply::Map(vec![
            (text("get"), summary("Returns a value.")),
            (text("getdel"), summary("")),
            (text("set"), Reply::Nil),
        ]))
    }

    #[test]
    fn names_are_completed_in_their_letters() {
        let docs = some();
        let of = |line: &str| completions(&docs, line, line.len());
        assert_eq!(of("ge"), ["get", "getdel"]);
        assert_eq!(of("GETD"), ["GETDEL"]);
        assert_eq!(of("x"), [""; 0]);
        assert_eq!(of("get k"), [""; 0]);
        assert_eq!(completions(&docs, "getx", 2), ["get", "getdel"]);
    }

    #[test]
    fn commands_are_explained() {
        let docs = some();
        assert_eq!(hint(&docs, "Get ").as_deref(), Some(" Returns a value."));
        for line in ["get", "getdel ", "no ", "get k "] {
            assert_eq!(hint(&docs, line), None, "{line}");
        }
        assert_eq!(described(&docs, "get"), "Returns a value.");
        assert!(described(&docs, "no").contains("no command"));
    }
}
