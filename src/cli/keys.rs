//! `smache get`, `put` and `del`: one key at a time, values byte by byte as they are.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{NodeArgs, ttl, ttl_text};
use super::{Outcome, Usage, in_colour, pretty, print, say};

/// The longest value that is read; no node takes as much, unless it is told to.
const VALUE_BYTES_MAX: u64 = 1 << 30;

/// Print the value of a key.
///
/// Indented on a terminal, else on one line; numbers are as they were written.
#[derive(clap::Args)]
#[command(after_help = "Exit code 1 if there is no such key.")]
pub(super) struct Get {
    /// The key.
    key: String,
    /// Print the whole answer: key, data and the node that owns the key.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// Store a value under a key.
///
/// Prints the ETag of the value.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache put user:7 '{\"name\":\"Ada\"}' --ttl 1h
  smache put user:7 - < user.json
  smache put user:7 '{\"name\":\"Ada\"}' --if-absent

Exit code 1 if the condition does not hold.")]
pub(super) struct Put {
    /// The key.
    key: String,
    /// The value as JSON; `-` reads standard input.
    #[arg(allow_hyphen_values = true)]
    json: String,
    /// How long the value lives, as in 300ms, 30s or 1h; for ever without it.
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Option<Duration>,
    /// Only if the key has no value yet.
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,
    /// Only if the value still has this ETag; `*` is any value.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Remove a key.
#[derive(clap::Args)]
#[command(after_help = "Exit code 1 if there is no such key.")]
pub(super) struct Del {
    /// The key.
    key: String,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Deserialize)]
struct Got<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Putting<'a> {
    key: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
}

#[derive(Deserialize)]
struct Deleted {
    deleted: bool,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        let request = client
            .request(Method::GET, "/api")
            .query(&[("key", &self.key)]);
        let answer = client.send(request).await?.success()?;
        let data = answer.json::<Got<'_>>()?.data.get();
        // A document may be `null`, too: only what is there has an ETag.
        let hit = answer.etag.is_some() || data != "null";
        if self.json {
            show(answer.json::<&RawValue>()?.get())?;
        } else if hit {
            show(data)?;
        }
        if hit {
            return Ok(Outcome::Done);
        }
        say(&format!("no value under {}", shown(&self.key)));
        Ok(Outcome::Negative)
    }
}

impl Put {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        let text = match self.json.as_str() {
            "-" => from_stdin()?,
            text => text.to_owned(),
        };
        let data: &RawValue = serde_json::from_str(&text)
            .map_err(|error| Usage(format!("the value is not JSON: {error}")))?;
        let body = serde_json::to_vec(&Putting {
            key: &self.key,
            data,
            ttl: self.ttl.map(ttl_text),
        })?;
        let mut request = client
            .request(Method::PUT, "/api")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if self.if_absent {
            request = request.header(header::IF_NONE_MATCH, "*");
        }
        if let Some(etag) = &self.if_match {
            request = request.header(header::IF_MATCH, quoted(etag));
        }
        let answer = client.send(request).await?;
        if answer.status == StatusCode::PRECONDITION_FAILED {
            say(&match self.if_absent {
                true => format!("{} has a value already", shown(&self.key)),
                false => format!("{} has another ETag, or no value", shown(&self.key)),
            });
            return Ok(Outcome::Negative);
        }
        if let Some(etag) = answer.success()?.etag {
            print(format!("{etag}\n").as_bytes())?;
        }
        Ok(Outcome::Done)
    }
}

impl Del {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        let request = client
            .request(Method::DELETE, "/api")
            .query(&[("key", &self.key)]);
        let answer = client.send(request).await?.success()?;
        if answer.json::<Deleted>()?.deleted {
            return Ok(Outcome::Done);
        }
        say(&format!("no value under {}", shown(&self.key)));
        Ok(Outcome::Negative)
    }
}

fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(VALUE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("standard input cannot be read")?;
    if text.len() as u64 > VALUE_BYTES_MAX {
        let wrong = format!("the value is longer than {VALUE_BYTES_MAX} bytes");
        return Err(Usage(wrong).into());
    }
    Ok(text)
}

/// Prints JSON for whoever is there to read it.
fn show(json: &str) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    let laid_out = match stdout.is_terminal() {
        true => pretty::laid_out(json, in_colour(&stdout)),
        false => pretty::compact(json),
    };
    print(format!("{laid_out}\n").as_bytes())?;
    Ok(())
}

/// A key in a message.
fn shown(key: &str) -> String {
    format!("{key:?}")
}

/// An ETag is quoted text; a shell tends to take the quotes away.
fn quoted(etag: &str) -> String {
    if etag == "*" || etag.contains('"') {
        return etag.to_owned();
    }
    format!("\"{etag}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_get_their_quotes_back() {
        assert_eq!(quoted("abc"), "\"abc\"");
        assert_eq!(quoted("\"abc\""), "\"abc\"");
        assert_eq!(quoted("*"), "*");
    }
}
