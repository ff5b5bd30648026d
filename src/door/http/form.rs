//! Writes as forms: `application/x-www-form-urlencoded` and `multipart/form-data`.
//!
//! The fields are `key`, `ttl` and `data`. The data is either one field that holds the JSON text of
//! an object, or is spelt out in names: `data[color]=blue&data[at][lat]=1&data[tags][]=a` is
//! `{"color":"blue","at":{"lat":"1"},"tags":["a"]}`. What a form spells out is text.

use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::envelope::{self, Fields};
use super::failure::Failure;
use super::{query, ttl};
use crate::command::json;
use crate::key::Key;

/// The most fields of a form.
const FIELDS_MAX: usize = 1_000;

/// The names and values of a form.
pub(super) type Pairs = Vec<(String, String)>;

fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("invalid_form", message.into())
}

fn push(pairs: &mut Pairs, name: String, value: String) -> Result<(), Failure> {
    if pairs.len() == FIELDS_MAX {
        return Err(invalid(format!("a form has at most {FIELDS_MAX} fields")));
    }
    pairs.push((name, value));
    Ok(())
}

/// Reads `name=value&…`.
pub(super) fn urlencoded(body: &[u8]) -> Result<Pairs, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Failure::bad("invalid_utf8", format!("the form is {error}")))?;
    let mut pairs = Pairs::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = query::decode(name)?.into_owned();
        let value = query::decode(value)?.into_owned();
        push(&mut pairs, name, value)?;
    }
    Ok(pairs)
}

/// Reads the parts of a multipart body.
pub(super) async fn multipart(headers: &HeaderMap, body: Bytes) -> Result<Pairs, Failure> {
    let mut request = axum::extract::Request::new(axum::body::Body::from(body));
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        request.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    // The body is here already, within the door's own bound.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| invalid(error.body_text()))?;
    let mut pairs = Pairs::new();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        let value = part.bytes().await.map_err(broken)?;
        let value = String::from_utf8(value.into()).map_err(|error| {
            let message = format!("field {name:?} is {}", error.utf8_error());
            Failure::bad("invalid_utf8", message)
        })?;
        push(&mut pairs, name, value)?;
    }
    Ok(pairs)
}

fn broken(error: axum::extract::multipart::MultipartError) -> Failure {
    invalid(error.body_text())
}

/// Makes a write of a form's fields.
pub(super) fn fields(
    pairs: Pairs,
    allowed: &[&str],
    depth_max: usize,
    key_bytes_max: usize,
) -> Result<Fields, Failure> {
    let (mut key, mut ttl_text, mut data_text) = (None, None, None);
    let mut data = None;
    for (name, value) in pairs {
        let (base, path) = match name.find('[') {
            Some(at) => name.split_at(at),
            None => (&name[..], ""),
        };
        if !allowed.contains(&base) {
            let message = format!("unknown field {base:?}; allowed are {}", allowed.join(", "));
            return Err(Failure::bad("unknown_member", message));
        }
        match (base, path) {
            ("data", "") => set(&mut data_text, value, "data")?,
            ("data", path) => {
                let root = data.get_or_insert_with(|| Node::Map(Vec::new()));
                root.insert(path, value, depth_max)?;
            }
            ("key", "") => set(&mut key, value, "key")?,
            ("ttl", "") => set(&mut ttl_text, value, "ttl")?,
            _ => return Err(invalid(format!("{base} has no members"))),
        }
    }
    let key = key.ok_or_else(Failure::key_required)?;
    query::check_key(&key, key_bytes_max)?;
    let data = match (data_text, data) {
        (Some(_), Some(_)) => return Err(invalid("data is given as text and by its members")),
        (Some(text), None) => Some(json::compact(&text.into(), depth_max)?),
        (None, Some(node)) => Some(node.into_json()),
        (None, None) => None,
    };
    Ok(Fields {
        key: Key::new(key, key_bytes_max)?,
        data: envelope::data(data)?,
        ttl_ms: ttl_text.map(|text| ttl::from_text(&text)).transpose()?,
    })
}

fn set(field: &mut Option<String>, value: String, name: &str) -> Result<(), Failure> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{name} is given twice"))),
    }
}

/// What names spell out.
#[derive(Debug)]
enum Node {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Puts a value at a path such as `[at][lat]` or `[tags][]`.
    fn insert(&mut self, path: &str, value: String, depth_left: usize) -> Result<(), Failure> {
        if depth_left == 0 {
            return Err(Failure::bad(
                "too_deep",
                "the names of the form nest too deep",
            ));
        }
        let inner = path.strip_prefix('[').and_then(|path| path.split_once(']'));
        let Some((name, rest)) = inner else {
            return Err(invalid(format!("{path:?} is no path of [names]")));
        };
        let clash = || invalid(format!("{name:?} is given in two ways"));
        match self {
            Node::Map(members) if members.is_empty() && name.is_empty() && rest.is_empty() => {
                *self = Node::List(vec![value]);
            }
            Node::List(values) if name.is_empty() && rest.is_empty() => values.push(value),
            Node::Map(members) if !name.is_empty() => {
                let found = members.iter_mut().find(|(known, _)| known == name);
                match (found, rest) {
                    (Some(_), "") => return Err(clash()),
                    (None, "") => members.push((name.to_owned(), Node::Text(value))),
                    (Some((_, node)), rest) => node.insert(rest, value, depth_left - 1)?,
                    (None, rest) => {
                        let mut node = Node::Map(Vec::new());
                        node.insert(rest, value, depth_left - 1)?;
                        members.push((name.to_owned(), node));
                    }
                }
            }
            _ => return Err(clash()),
        }
        Ok(())
    }

    fn into_json(self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Text(text) => json::write_string(text, out),
            Node::List(values) => {
                out.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    json::write_string(value, out);
                }
                out.push(b']');
            }
            Node::Map(members) => {
                out.push(b'{');
                for (place, (name, node)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    json::write_string(name, out);
                    out.push(b':');
                    node.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Fields, Failure> {
        fields(urlencoded(form.as_bytes())?, &["key", "data", "ttl"], 3, 16)
    }

    #[test]
    fn members_by_name_and_data_as_text() {
        let cases = [
            ("key=k&data[color]=blue", r#"{"color":"blue"}"#),
            (
                "data%5Ba%5D=x+y&key=k&data[b]=%22",
                r#"{"a":"x y","b":"\""}"#,
            ),
            (
                "key=k&data[at][lat]=1&data[at][lon]=2",
                r#"{"at":{"lat":"1","lon":"2"}}"#,
            ),
            (
                "key=k&data[tags][]=a&data[tags][]=b",
                r#"{"tags":["a","b"]}"#,
            ),
            ("key=k&data=%7B%22n%22:%201.0%7D", r#"{"n":1.0}"#),
        ];
        for (form, data) in cases {
            let fields = read(form).unwrap();
            assert_eq!(fields.data, data, "{form}");
            assert_eq!(fields.key.as_bytes(), b"k");
        }
        assert_eq!(read("key=1&data[a]=b&ttl=5").unwrap().ttl_ms, Some(5_000));
    }

    #[test]
    fn forms_that_are_refused() {
        let cases = [
            ("data[a]=b", "key_required"),
            ("key=&data[a]=b", "key_required"),
            ("key=null&data[a]=b", "key_required"),
            ("key=k", "invalid_data"),
            ("key=k&data=[1]", "invalid_data"),
            ("key=k&data=%7B", "invalid_json"),
            ("key=k&data[]=1", "invalid_data"),
            ("key=k&data[a]=1&data[a]=2", "invalid_form"),
            ("key=k&data[a]=1&data[a][b]=2", "invalid_form"),
            ("key=k&data[a=1", "invalid_form"),
            ("key=k&key=l&data[a]=1", "invalid_form"),
            ("key=k&data={}&data[a]=1", "invalid_form"),
            ("key[a]=k&data[a]=1", "invalid_form"),
            ("key=k&data[a][b][c][d]=1", "too_deep"),
            ("key=k&data[a]=%ff", "invalid_utf8"),
            ("key=k&data[a]=1&ttl=x", "invalid_ttl"),
            ("key=k&data[a]=1&tll=5", "unknown_member"),
        ];
        for (form, code) in cases {
            assert_eq!(read(form).unwrap_err().code, code, "{form}");
        }
        let many = "x=1&".repeat(FIELDS_MAX + 1);
        assert_eq!(read(&many).unwrap_err().code, "invalid_form");
    }

    #[tokio::test]
    async fn parts_of_any_length_within_the_body() {
        let long = "x".repeat(3 << 20);
        let body = format!(
            "--B\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
             --B\r\ncontent-disposition: form-data; name=\"data[a]\"\r\n\r\n{long}\r\n--B--\r\n"
        );
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            "multipart/form-data; boundary=B".parse().unwrap(),
        );
        let pairs = multipart(&headers, body.into()).await.unwrap();
        assert_eq!(pairs[0], ("key".to_owned(), "k".to_owned()));
        assert_eq!(pairs[1].1.len(), long.len());

        let failure = multipart(&headers, "--B\r\nnonsense".into())
            .await
            .unwrap_err();
        assert_eq!(failure.code, "invalid_form");
        headers.insert(CONTENT_TYPE, "multipart/form-data".parse().unwrap());
        let failure = multipart(&headers, Bytes::new()).await.unwrap_err();
        assert_eq!(failure.code, "invalid_form");
    }
}
