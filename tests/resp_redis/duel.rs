//! Both servers are asked the same, and what they reply is compared.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::commands::{SCRIPT, draw, words};
use crate::wire::{Reply, Wire, Words, shown};

/// See the module.
pub(crate) struct Duel {
    theirs: Wire,
    ours: Wire,
    random: StdRng,
    /// The last commands, for whoever looks for the reason.
    history: Vec<String>,
    differences: Vec<String>,
}

/// How a reply is to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Exact,
    Unordered,
    /// Fields and values in turn, in any order of the fields.
    Pairs,
    Pop,
    Random,
    Scan,
    Blocking,
    Float,
}

fn manner(words: &Words) -> Manner {
    match &words[0].to_ascii_lowercase()[..] {
        b"smembers" | b"sinter" | b"sunion" | b"sdiff" | b"hkeys" | b"hvals" => Manner::Unordered,
        b"hgetall" => Manner::Pairs,
        b"spop" => Manner::Pop,
        b"srandmember" | b"hrandfield" => Manner::Random,
        b"hscan" | b"sscan" => Manner::Scan,
        b"blpop" | b"brpop" | b"blmove" | b"brpoplpush" | b"blmpop" => Manner::Blocking,
        b"hincrbyfloat" => Manner::Float,
        _ => Manner::Exact,
    }
}

impl Duel {
    /// Agrees on the protocol with both.
    pub(crate) async fn begin(mut theirs: Wire, mut ours: Wire, protocol: u8, seed: u64) -> Duel {
        let hello = words(&format!("HELLO {protocol}"));
        for wire in [&mut theirs, &mut ours] {
            assert!(!wire.ask(&hello).await.is_error());
        }
        Duel {
            theirs,
            ours,
            random: StdRng::seed_from_u64(seed),
            history: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// What is always asked.
    pub(crate) async fn scripted(&mut self) {
        for line in SCRIPT.lines() {
            let line = line.trim();
            if !line.is_empty() {
                self.step(words(line)).await;
            }
        }
        self.conclude();
    }

    /// So many commands drawn at random.
    pub(crate) async fn random(&mut self, count: usize) {
        for _ in 0..count {
            let words = draw(&mut self.random);
            self.step(words).await;
            self.conclude();
        }
    }

    async fn step(&mut self, words: Words) {
        self.history.push(shown(&words));
        let theirs = self.theirs.ask(&words).await;
        let ours = self.ours.ask(&words).await;
        if theirs.is_error() && manner(&words) != Manner::Blocking {
            return self.same(&words, &theirs, &ours);
        }
        match manner(&words) {
            Manner::Exact => self.same(&words, &theirs, &ours),
            Manner::Unordered => self.same(&words, &sorted(&theirs, 1), &sorted(&ours, 1)),
            Manner::Pairs => self.same(&words, &sorted(&theirs, 2), &sorted(&ours, 2)),
            Manner::Pop => self.popped(&words, &theirs, &ours).await,
            Manner::Random => self.drawn(&words, &theirs, &ours).await,
            Manner::Scan => self.scanned(&words, theirs, ours).await,
            Manner::Float => self.summed(&words, &theirs, &ours).await,
            Manner::Blocking => {
                let waits = matches!(theirs, Reply::Null(_));
                if waits {
                    let refusal = b"ERR blocking commands are not supported";
                    let refused = ours.is_error() && ours.bytes().starts_with(refusal);
                    self.check(refused, &words, &theirs, &ours);
                } else {
                    self.same(&words, &theirs, &ours);
                }
            }
        }
    }

    fn same(&mut self, words: &Words, theirs: &Reply, ours: &Reply) {
        self.check(theirs == ours, words, theirs, ours);
    }

    fn check(&mut self, holds: bool, words: &Words, theirs: &Reply, ours: &Reply) {
        if !holds {
            let (from, asked) = (self.history.len().saturating_sub(30), shown(words));
            let history = self.history[from..].join("\n  ");
            self.differences.push(format!(
                "  {history}\n{asked}\n  Redis: {theirs:?}\n  here:  {ours:?}\n"
            ));
        }
    }

    /// Fails with all differences so far.
    fn conclude(&self) {
        let different = self.differences.len();
        assert_eq!(different, 0, "\n{}", self.differences.join("\n"));
    }

    /// Redis adds in binary: where its digits end, the sums may differ, and both go on with its.
    async fn summed(&mut self, words: &Words, theirs: &Reply, ours: &Reply) {
        let sum = |reply: &Reply| -> f64 {
            let text = std::str::from_utf8(reply.bytes());
            text.ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(f64::NAN)
        };
        if theirs == ours {
            return;
        }
        let close = (sum(theirs) - sum(ours)).abs() <= sum(theirs).abs() * 1e-15;
        self.check(close, words, theirs, ours);
        let set = [b"HSET", &words[1][..], &words[2], theirs.bytes()].map(<[u8]>::to_vec);
        self.ours.ask(&set).await;
    }

    /// Members were taken at random: as many here as there. Both get all of them back, and so are
    /// alike again.
    async fn popped(&mut self, words: &Words, theirs: &Reply, ours: &Reply) {
        self.alike(words, theirs, ours);
        let mut back: Words = vec![b"SADD".to_vec(), words[1].clone()];
        for reply in [theirs, ours] {
            match reply {
                Reply::Bulk(member) => back.push(member.clone()),
                reply => back.extend(reply.parts().iter().map(|part| part.bytes().to_vec())),
            }
        }
        if back.len() > 2 {
            self.theirs.ask(&back).await;
            self.ours.ask(&back).await;
        }
    }

    /// Replies of one form, with as many parts.
    fn alike(&mut self, words: &Words, theirs: &Reply, ours: &Reply) {
        let alike = match (theirs, ours) {
            (Reply::Bulk(_), Reply::Bulk(_)) => true,
            (Reply::Many(this, a), Reply::Many(that, b)) => this == that && a.len() == b.len(),
            (theirs, ours) => theirs == ours,
        };
        self.check(alike, words, theirs, ours);
    }

    /// What was drawn here must be there as well, and each once if that was asked for.
    async fn drawn(&mut self, words: &Words, theirs: &Reply, ours: &Reply) {
        self.alike(words, theirs, ours);
        let items: Vec<Vec<u8>> = match ours {
            Reply::Bulk(item) => vec![item.clone()],
            ours => {
                let nested = |part: &Reply| match part {
                    Reply::Many(_, pair) => pair.clone(),
                    part => vec![part.clone()],
                };
                let parts = ours.parts().iter().flat_map(nested);
                parts.map(|part| part.bytes().to_vec()).collect()
            }
        };
        if items.is_empty() {
            return;
        }
        let step = if words.len() > 3 { 2 } else { 1 };
        let (mut check, mut wanted) = (Vec::new(), Vec::new());
        let is_hash = words[0].eq_ignore_ascii_case(b"hrandfield");
        check.push(if is_hash {
            b"HMGET".to_vec()
        } else {
            b"SMISMEMBER".to_vec()
        });
        check.push(words[1].clone());
        for item in items.chunks_exact(step) {
            check.push(item[0].clone());
            wanted.push(item.get(1).cloned());
        }
        let found = self.theirs.ask(&check).await;
        for (part, wanted) in found.parts().iter().zip(wanted) {
            let there = match (part, wanted) {
                (Reply::Bulk(value), Some(wanted)) => *value == wanted,
                (Reply::Bulk(_), None) => true,
                (part, _) => *part == Reply::Line(b':', b"1".to_vec()),
            };
            self.check(there, words, theirs, ours);
        }
        let many = words.get(2).is_some_and(|count| count.starts_with(b"-"));
        let distinct: BTreeSet<&Vec<u8>> = check[2..].iter().collect();
        let once = distinct.len() == check.len() - 2;
        self.check(many || once, words, theirs, ours);
    }

    /// Cursors and stretches are each server's own: all that comes until the end is compared.
    async fn scanned(&mut self, words: &Words, theirs: Reply, ours: Reply) {
        self.alike(words, &theirs, &ours);
        if words[2].iter().any(|digit| *digit != b'0') {
            return;
        }
        let step = if words[0].eq_ignore_ascii_case(b"hscan") {
            2
        } else {
            1
        };
        let all_theirs = finish(&mut self.theirs, words, theirs, step).await;
        let all_ours = finish(&mut self.ours, words, ours, step).await;
        let equal = all_theirs == all_ours;
        let all =
            |rows: BTreeSet<Vec<Reply>>| Reply::Many(b'~', rows.into_iter().flatten().collect());
        self.check(equal, words, &all(all_theirs), &all(all_ours));
    }
}

async fn finish(wire: &mut Wire, words: &Words, first: Reply, step: usize) -> BTreeSet<Vec<Reply>> {
    let mut all = BTreeSet::new();
    let (mut reply, mut words) = (first, words.clone());
    loop {
        let [cursor, items] = reply.parts() else {
            panic!("{reply:?} is no part of a scan");
        };
        all.extend(items.parts().chunks_exact(step).map(<[Reply]>::to_vec));
        if cursor.bytes() == b"0" {
            return all;
        }
        words[2] = cursor.bytes().to_vec();
        reply = wire.ask(&words).await;
    }
}

/// Its parts, so many of which belong together, in their own order.
fn sorted(reply: &Reply, step: usize) -> Reply {
    let Reply::Many(mark, parts) = reply else {
        return reply.clone();
    };
    let mut chunks: Vec<&[Reply]> = parts.chunks(step).collect();
    chunks.sort_unstable();
    Reply::Many(*mark, chunks.concat())
}
