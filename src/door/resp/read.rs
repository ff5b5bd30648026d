//! Reading replies in RESP3, of commands that were carried out for another door.
//!
//! Replies are this node's own ([`Out`](super::reply::Out) wrote them), and come whole; what does not
//! read as one is [`Token::Broken`], and ends the reading.

/// What a reply consists of. Behind [`Token::List`] and [`Token::Map`] come their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::door) enum Token<'a> {
    /// No value.
    Nothing,
    /// Yes or no.
    Boolean(bool),
    /// A number, as it is written: whole, or with a fraction, or `inf`, `-inf`, `nan`.
    Number(&'a [u8]),
    /// Bytes, or a word such as `OK`.
    Bytes(&'a [u8]),
    /// So many replies, one after the other.
    List(usize),
    /// So many pairs of replies.
    Map(usize),
    /// Why there is no result: a word in capitals, and what is wrong.
    Error(&'a [u8]),
    /// It is none of these.
    Broken,
}

/// The rest of a reply.
#[derive(Clone, Copy, Debug)]
pub(in crate::door) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::door) fn new(reply: &'a [u8]) -> Reader<'a> {
        Reader(reply)
    }

    /// The next part.
    pub(in crate::door) fn next(&mut self) -> Token<'a> {
        self.read().unwrap_or(Token::Broken)
    }

    fn read(&mut self) -> Option<Token<'a>> {
        let line = self.line()?;
        let (mark, rest) = line.split_first()?;
        Some(match mark {
            b'_' => Token::Nothing,
            b'#' => Token::Boolean(rest == b"t"),
            b':' | b',' | b'(' => Token::Number(rest),
            b'+' => Token::Bytes(rest),
            b'-' => Token::Error(rest),
            b'$' | b'*' if rest == b"-1" => Token::Nothing,
            b'$' => Token::Bytes(self.bulk(rest)?),
            // Three letters say what it is, and a colon.
            b'=' => Token::Bytes(self.bulk(rest)?.get(4..)?),
            b'*' | b'~' | b'>' => Token::List(count(rest)?),
            b'%' => Token::Map(count(rest)?),
            _ => return None,
        })
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memmem::find(self.0, b"\r\n")?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 2..];
        Some(line)
    }

    fn bulk(&mut self, length: &[u8]) -> Option<&'a [u8]> {
        let (bulk, rest) = self.0.split_at_checked(count(length)?)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        Some(bulk)
    }
}

fn count(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::reply::{Out, Protocol};
    use super::*;

    fn tokens(write: impl Fn(&mut Out), count: usize) -> Vec<Token<'static>> {
        let mut out = Out::new(Protocol::Resp3);
        write(&mut out);
        let reply = out.into_bytes().leak();
        let mut reader = Reader::new(reply);
        let tokens = (0..count).map(|_| reader.next()).collect();
        assert_eq!(reader.next(), Token::Broken, "it has more parts");
        tokens
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(tokens(Out::ok, 1), [Token::Bytes(b"OK")]);
        assert_eq!(tokens(Out::null, 1), [Token::Nothing]);
        assert_eq!(tokens(Out::null_array, 1), [Token::Nothing]);
        assert_eq!(tokens(|out| out.integer(-5), 1), [Token::Number(b"-5")]);
        assert_eq!(
            tokens(|out| out.double_text(b"1.5"), 1),
            [Token::Number(b"1.5")]
        );
        assert_eq!(Reader::new(b"#t\r\n").next(), Token::Boolean(true));
        assert_eq!(
            tokens(|out| out.bulk(b"a\r\n$1"), 1),
            [Token::Bytes(b"a\r\n$1")]
        );
        assert_eq!(
            tokens(|out| out.verbatim("txt", "t"), 1),
            [Token::Bytes(b"t")]
        );
        let nested = |out: &mut Out| {
            out.map(1);
            out.bulk(b"f");
            out.set(2);
            out.bulk(b"");
            out.null();
        };
        let expected = [
            Token::Map(1),
            Token::Bytes(b"f"),
            Token::List(2),
            Token::Bytes(b""),
            Token::Nothing,
        ];
        assert_eq!(tokens(nested, 5), expected);
        let error = tokens(|out| super::super::failure::Refusal::SYNTAX.write(out), 1);
        assert_eq!(error, [Token::Error(b"ERR syntax error")]);
    }

    #[test]
    fn what_is_no_reply_is_broken() {
        for text in [
            "",
            "$5\r\nabc\r\n",
            "$1\r\nab",
            "*x\r\n",
            "?\r\n",
            "\r\n",
            ":1",
            "$-2\r\n",
            "=2\r\nab\r\n",
        ] {
            assert_eq!(
                Reader::new(text.as_bytes()).next(),
                Token::Broken,
                "{text:?}"
            );
        }
    }
}
