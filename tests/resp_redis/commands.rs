//! What is asked: some things always, the rest drawn from patterns.
//!
//! In a pattern `K` is a key, `M` a member, field or element, `I` a whole number or what is none, `R` a rank,
//! `C` a count, `F` a number with a fraction or what is none, `T` a time to wait, `W` an end of a
//! list, and anything else itself. `...` repeats the word or pair before it.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::wire::Words;

/// Asked in this order, of keys that nothing else uses.
pub(crate) const SCRIPT: &str = "
    DEL-ALL
    HSET s:h a 1 b 2 c three
    HSET s:h a
    HSET s:h a 1 b
    HMSET s:h d 4 e
    HMSET s:h d 4
    HGETALL s:h
    HGETALL s:none
    HINCRBY s:h c 1
    HINCRBY s:h a 9223372036854775807
    HINCRBY s:h n 1.5
    HINCRBYFLOAT s:h c 1
    HINCRBYFLOAT s:h a inf
    HINCRBYFLOAT s:h a nan
    HINCRBYFLOAT s:h a abc
    HINCRBYFLOAT s:h a 0.1
    HINCRBYFLOAT s:h a 0.2
    HINCRBYFLOAT s:h a -1.3
    HRANDFIELD s:h 0
    HRANDFIELD s:h 9223372036854775807 WITHVALUES
    HRANDFIELD s:h -9223372036854775808
    HRANDFIELD s:none 3 WITHVALUES
    HRANDFIELD s:h 3 WITHOUT
    HRANDFIELD s:h 100 withvalues
    HSCAN s:none 0 NONSENSE
    HSCAN s:none abc
    HSCAN s:h 0 NONSENSE
    HSCAN s:h 0 COUNT 0
    HSCAN s:h 0 COUNT abc
    HSCAN s:h 0 MATCH
    HSCAN s:h 0 TYPE hash
    HSCAN s:h -1 MATCH [a-c]*
    RPUSH s:l a b c d a b c
    LPOP s:l 0
    LPOP s:none 0
    LPOP s:none
    LPOP s:none 2
    LPOP s:l -1
    LPOP s:l abc
    LPOP s:l 1 2
    RPOP s:l 2
    LINDEX s:none abc
    LINDEX s:l abc
    LINDEX s:h abc
    LSET s:none abc x
    LSET s:none 0 x
    LSET s:l abc x
    LSET s:l 100 x
    LSET s:l -1 x
    LINSERT s:none NEAR a b
    LINSERT s:none BEFORE a b
    LINSERT s:l AFTER nowhere b
    LPOS s:l a RANK 0
    LPOS s:l a COUNT -1
    LPOS s:l a MAXLEN -1
    LPOS s:l a COUNT
    LPOS s:l a COUNT 0 RANK -1 MAXLEN 100
    LPOS s:none a COUNT 1
    LPOS s:none a
    LMOVE s:none s:h LEFT LEFT
    LMOVE s:l s:h LEFT LEFT
    LMOVE s:h s:l LEFT LEFT
    LMOVE s:l s:l LEFT MIDDLE
    LMOVE s:l s:l LEFT RIGHT
    LRANGE s:l 0 -1
    LMPOP 0 s:l LEFT
    LMPOP a s:l LEFT
    LMPOP 2 s:l LEFT
    LMPOP 1 s:l UP
    LMPOP 1 s:l LEFT COUNT 0
    LMPOP 1 s:l LEFT COUNT 1 COUNT 1
    LMPOP 2 s:none s:h LEFT
    LMPOP 2 s:l s:h LEFT
    LMPOP 1 s:none LEFT
    BLPOP s:l abc
    BLPOP s:l -1
    BLPOP s:none s:h 1
    BLPOP s:none s:l 1
    BLMPOP -1 1 s:l LEFT
    BLMPOP 1 0 s:l LEFT
    BLMOVE s:l s:l UP LEFT abc
    BLMOVE s:l s:h LEFT LEFT abc
    BRPOPLPUSH s:h s:l 1
    BRPOPLPUSH s:none s:h 0.01
    SADD s:s a b c
    SADD s:t b c d
    SPOP s:none
    SPOP s:none 2
    SPOP s:s -1
    SPOP s:s 1 2
    SPOP s:s 0
    SRANDMEMBER s:none
    SRANDMEMBER s:none 2
    SRANDMEMBER s:s 1 2
    SRANDMEMBER s:s -9223372036854775808
    SRANDMEMBER s:s 100
    SRANDMEMBER s:s -7
    SMEMBERS s:none
    SINTER s:none s:h
    SINTER s:h s:none
    SINTERCARD 0 s:s
    SINTERCARD 3 s:s s:t
    SINTERCARD 2 s:s s:t LIMIT
    SINTERCARD 2 s:s s:t LIMIT -1
    SINTERCARD 2 s:s s:t LIMIT 1
    SINTERCARD 2 s:s s:t LIMIT 0
    SINTERCARD 2 s:none s:h
    SINTERSTORE s:u s:s s:t
    SUNIONSTORE s:s s:s s:t
    SDIFFSTORE s:u s:s s:s
    SCARD s:u
    SMOVE s:none s:h a
    SMOVE s:s s:h a
    SMOVE s:s s:h nowhere
    SMOVE s:h s:s a
    SMOVE s:s s:s a
    SMOVE s:s s:s nowhere
    SMOVE s:s s:t a
    SISMEMBER s:h a
    SMISMEMBER s:none a b
    SSCAN s:s 0 COUNT 1
    SSCAN s:h 0
    HLEN
    HGET s:h
    SADD s:s
    GETBIT s:none 3
    GETBIT s:h 3
    GETBIT s:b -1
    GETBIT s:b 4294967296
    GETBIT s:b x
    GETBIT s:b
    SETBIT s:b 1 1
    SETBIT s:b 1 1
    SETBIT s:b 30 1
    SETBIT s:b 30 0
    SETBIT s:b 40 0
    STRLEN s:b
    GET s:b
    SETBIT s:b 1 2
    SETBIT s:b 01 1
    SETBIT s:b 4294967296 1
    SETBIT s:b -1 1
    SETBIT s:h 1 1
    GETBIT s:b 1
    GETBIT s:b 400
    SET s:x ohmytext EX 100
    SET s:y mynewtext
    SETBIT s:x 7 1
    TTL s:x
    SETBIT s:x 7 0
    LCS s:x s:y
    LCS s:x s:y LEN
    LCS s:x s:y IDX
    LCS s:x s:y IDX WITHMATCHLEN MINMATCHLEN 4
    LCS s:x s:y IDX MINMATCHLEN -1
    LCS s:x s:y MINMATCHLEN
    LCS s:x s:y MINMATCHLEN x
    LCS s:x s:y LEN IDX
    LCS s:x s:y NONSENSE
    LCS s:x s:none
    LCS s:none s:none IDX
    LCS s:x s:h
    LCS s:x
    OBJECT ENCODING s:none
    OBJECT ENCODING s:y
    OBJECT ENCODING s:h
    OBJECT ENCODING s:l
    OBJECT REFCOUNT s:h
    OBJECT REFCOUNT s:none
    OBJECT FREQ s:none
    OBJECT IDLETIME s:none
    OBJECT ENCODING
    OBJECT NONSENSE s:h
    DEL s:e
    SADD s:e 1 2 3
    OBJECT ENCODING s:e
    SADD s:e x
    OBJECT ENCODING s:e
    CONFIG SET hash-max-ziplist-value 3
    CONFIG GET hash-max-listpack-value
    DEL s:e
    HSET s:e abc def
    OBJECT ENCODING s:e
    HSET s:e abc defg
    OBJECT ENCODING s:e
    CONFIG SET hash-max-listpack-value 64 hash-max-ziplist-value 64
    CONFIG SET hash-max-listpack-value 64
    CONFIG GET hash-max-ziplist-value
    MEMORY USAGE s:none
    MEMORY USAGE s:e SAMPLES
    MEMORY USAGE s:e SAMPLES -1
    MEMORY USAGE s:e SAMPLES x
    MEMORY USAGE
    FUNCTION FLUSH
    FUNCTION FLUSH NONSENSE
    FUNCTION LIST
";

const PATTERNS: &[&str] = &[
    "HSET K M V ...",
    "HSET K M V ...",
    "HSETNX K M V",
    "HMSET K M V ...",
    "HGET K M",
    "HMGET K M ...",
    "HGETALL K",
    "HDEL K M ...",
    "HEXISTS K M",
    "HLEN K",
    "HSTRLEN K M",
    "HKEYS K",
    "HVALS K",
    "HINCRBY K M I",
    "HINCRBY K M 3",
    "HINCRBYFLOAT K M F",
    "HRANDFIELD K",
    "HRANDFIELD K C",
    "HRANDFIELD K C WITHVALUES",
    "HSCAN K 0",
    "HSCAN K 0 COUNT C",
    "HSCAN K 0 MATCH P COUNT 3",
    "LPUSH K M ...",
    "RPUSH K M ...",
    "RPUSH K M ...",
    "LPUSHX K M ...",
    "RPUSHX K M ...",
    "LPOP K",
    "LPOP K C",
    "RPOP K",
    "RPOP K C",
    "LLEN K",
    "LRANGE K I I",
    "LRANGE K 0 -1",
    "LINDEX K I",
    "LSET K I M",
    "LINSERT K BEFORE M M",
    "LINSERT K AFTER M M",
    "LREM K I M",
    "LTRIM K I I",
    "LTRIM K 1 -2",
    "LPOS K M",
    "LPOS K M RANK R",
    "LPOS K M COUNT C",
    "LPOS K M MAXLEN C RANK -1 COUNT C",
    "LMOVE K K W W",
    "LMOVE K K W W",
    "RPOPLPUSH K K",
    "LMPOP 1 K W",
    "LMPOP 2 K K W COUNT C",
    "BLPOP K K T",
    "BRPOP K T",
    "BLMOVE K K W W T",
    "BRPOPLPUSH K K T",
    "BLMPOP T 2 K K W COUNT C",
    "SADD K M ...",
    "SADD K M ...",
    "SREM K M ...",
    "SISMEMBER K M",
    "SMISMEMBER K M ...",
    "SMEMBERS K",
    "SCARD K",
    "SPOP K",
    "SPOP K C",
    "SRANDMEMBER K",
    "SRANDMEMBER K C",
    "SSCAN K 0",
    "SSCAN K 0 COUNT C MATCH P",
    "SMOVE K K M",
    "SMOVE K K M",
    "SINTER K K ...",
    "SINTERCARD 2 K K",
    "SINTERCARD 2 K K LIMIT C",
    "SINTERSTORE K K K ...",
    "SUNION K K ...",
    "SUNIONSTORE K K K ...",
    "SDIFF K K ...",
    "SDIFFSTORE K K K ...",
    "SINTERSTORE K nothing",
    "SET K M",
    "SET K M",
    "SET K 12",
    "SETBIT K C 1",
    "SETBIT K C 0",
    "GETBIT K I",
    "LCS K K",
    "LCS K K LEN",
    "LCS K K IDX",
    "LCS K K IDX WITHMATCHLEN MINMATCHLEN C",
    "GET K",
    "DEL K",
];

/// The words of a line.
pub(crate) fn words(line: &str) -> Words {
    if line == "DEL-ALL" {
        // A destination of nothing is deleted, whatever it was.
        return words("SINTERSTORE s:u nothing");
    }
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// One command.
pub(crate) fn draw(random: &mut StdRng) -> Words {
    let pattern: Vec<&str> = PATTERNS.choose(random).unwrap().split(' ').collect();
    let mut words = Words::new();
    for (at, word) in pattern.iter().enumerate() {
        if *word != "..." {
            words.push(fill(word, random));
            continue;
        }
        // Values come in pairs with their fields.
        let from = if pattern[at - 1] == "V" {
            at - 2
        } else {
            at - 1
        };
        for _ in 0..random.random_range(0..4) {
            words.extend(pattern[from..at].iter().map(|word| fill(word, random)));
        }
    }
    match random.random_range(0..40) {
        0 => drop(words.pop().filter(|_| words.len() > 1)),
        1 => words.push(b"more".to_vec()),
        2 => words[0].make_ascii_lowercase(),
        _ => {}
    }
    words
}

fn fill(word: &str, random: &mut StdRng) -> Vec<u8> {
    let one = |of: &[&str], random: &mut StdRng| of.choose(random).unwrap().as_bytes().to_vec();
    match word {
        "K" => format!("k{}", random.random_range(0..9)).into_bytes(),
        "M" => match random.random_range(0..20) {
            0 => Vec::new(),
            1 => b"\xff\r\n\0".to_vec(),
            // Some collections become large.
            2 => vec![b'x'; 200],
            n if n < 16 => format!("m{}", random.random_range(0..14)).into_bytes(),
            _ => random.random_range(-20..200).to_string().into_bytes(),
        },
        "V" => match random.random_range(0..4) {
            0 => b"9223372036854775800".to_vec(),
            1 => format!("v{}", random.random_range(0..9)).into_bytes(),
            2 => b"0.25".to_vec(),
            _ => random.random_range(-20..200).to_string().into_bytes(),
        },
        "I" if random.random_range(0..6) == 0 => one(BAD_NUMBERS, random),
        "I" => random.random_range(-6..7).to_string().into_bytes(),
        // Redis 7.0 takes the least number for a rank, and goes wrong with it.
        "R" if random.random_range(0..6) == 0 => one(&BAD_NUMBERS[..7], random),
        "R" => random.random_range(-6..7).to_string().into_bytes(),
        "C" if random.random_range(0..8) == 0 => one(BAD_COUNTS, random),
        "C" => random.random_range(-4..9).to_string().into_bytes(),
        "F" => one(FLOATS, random),
        "T" => one(
            &["0.01", "0.01", "0.01", "1e-3", "-1", "abc", "-0.5"],
            random,
        ),
        "W" => one(
            &["LEFT", "RIGHT", "left", "Right", "UP"][..random.random_range(1..6)],
            random,
        ),
        "P" => one(&["*", "m*", "m1?", "[0-5]*", "x", "m[^1]", ""], random),
        word => word.as_bytes().to_vec(),
    }
}

const BAD_NUMBERS: &[&str] = &[
    "abc",
    "",
    "-0",
    "1.5",
    "+1",
    " 1",
    "9223372036854775807",
    "-9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
];

/// None of which Redis would answer with all of its memory.
const BAD_COUNTS: &[&str] = &[
    "abc",
    "",
    "1.5",
    "+1",
    "1 ",
    "100",
    "100000",
    "-9223372036854775808",
];

const FLOATS: &[&str] = &[
    "1", "0.5", "-1.25", "3.0e2", "1e-3", ".5", "5.", "+2", "abc", "", " 1", "inf", "-inf", "nan",
    "1x",
];
