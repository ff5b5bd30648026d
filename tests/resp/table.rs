//! What commands answer, word for word; Redis answers the same.

use smache::config::Config;

use crate::client::RespClient;
use crate::{client_of, node};

/// Conversations, each with keys of its own: lines, and the replies to them. `$` in a line stands for
/// what makes the keys its own.
pub(crate) struct Table(&'static [&'static [(&'static str, &'static str)]]);

impl Table {
    /// Holds all conversations with one client; keys begin with `stem`.
    pub(crate) async fn check(&self, client: &mut RespClient, stem: &str) {
        for (number, talk) in self.0.iter().enumerate() {
            for (line, says) in *talk {
                let own = line.replace('$', &format!("{stem}{number}:"));
                let reply = client.line(&own).await;
                let reply = reply.trim_end_matches("\r\n").replace("\r\n", " ");
                assert_eq!(reply, *says, "{own}");
            }
        }
    }
}

const NO_INTEGER: &str = "-ERR value is not an integer or out of range";
const NO_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";
const TOO_LATE: &str = "-ERR invalid expire time in 'set' command";

pub(crate) static TABLE: Table = Table(&[
    &[
        ("get $a", "$-1"),
        ("set $a hello", "+OK"),
        ("get $a", "$5 hello"),
        ("set $a 1 nx", "$-1"),
        ("set $b 1 xx", "$-1"),
        ("set $b 1 nx", "+OK"),
        ("set $b 2 xx get", "$1 1"),
        ("set $c 2 xx get", "$-1"),
        ("set $c 2 nx get", "$-1"),
        ("set $c 3 nx get", "$1 2"),
        ("get $c", "$1 2"),
        ("set $a 1 nx xx", SYNTAX),
        ("set $a 1 foo", SYNTAX),
        ("set $a 1 persist", SYNTAX),
    ],
    &[
        ("set $a 1 ex 100", "+OK"),
        ("ttl $a", ":100"),
        ("set $a 2 keepttl", "+OK"),
        ("ttl $a", ":100"),
        ("set $a 3", "+OK"),
        ("ttl $a", ":-1"),
        ("set $a 1 px 100000", "+OK"),
        ("ttl $a", ":100"),
        ("set $a 1 exat 99999999999", "+OK"),
        ("expiretime $a", ":99999999999"),
        ("pexpiretime $a", ":99999999999000"),
        ("set $a 1 pxat 99999999999999 get", "$1 1"),
        ("pexpiretime $a", ":99999999999999"),
        ("set $a 1 exat 1", "+OK"),
        ("get $a", "$-1"),
        ("set $a 1 ex 0", TOO_LATE),
        ("set $a 1 ex -1", TOO_LATE),
        ("set $a 1 ex 9223372036854775807", TOO_LATE),
        ("set $a 1 px 9223372036854775807", TOO_LATE),
        ("set $a 1 ex abc", NO_INTEGER),
        ("set $a 1 ex", SYNTAX),
        ("set $a 1 ex 1 px 1", SYNTAX),
        ("set $a 1 keepttl ex 1", SYNTAX),
        ("set $a 1 ex 1 keepttl", SYNTAX),
    ],
    &[
        ("getex $a", "$-1"),
        ("set $a v ex 100", "+OK"),
        ("getex $a persist", "$1 v"),
        ("ttl $a", ":-1"),
        ("getex $a ex 50", "$1 v"),
        ("ttl $a", ":50"),
        ("getex $a px 70000", "$1 v"),
        ("ttl $a", ":70"),
        ("getex $a", "$1 v"),
        ("ttl $a", ":70"),
        (
            "getex $a ex 0",
            "-ERR invalid expire time in 'getex' command",
        ),
        ("getex $a persist ex 5", SYNTAX),
        ("getex $a nx", SYNTAX),
        ("getdel $a", "$1 v"),
        ("getdel $a", "$-1"),
    ],
    &[
        ("set $a v ex 100", "+OK"),
        ("getset $a w", "$1 v"),
        ("ttl $a", ":-1"),
        ("getset $b w", "$-1"),
        ("setnx $c 1", ":1"),
        ("setnx $c 2", ":0"),
        ("get $c", "$1 1"),
        ("setex $c 10 v", "+OK"),
        ("ttl $c", ":10"),
        (
            "setex $c 0 v",
            "-ERR invalid expire time in 'setex' command",
        ),
        ("setex $c x v", NO_INTEGER),
        ("psetex $c 20000 v", "+OK"),
        ("ttl $c", ":20"),
        (
            "psetex $c -1 v",
            "-ERR invalid expire time in 'psetex' command",
        ),
    ],
    &[
        ("append $a a", ":1"),
        ("append $a bcd", ":4"),
        ("get $a", "$4 abcd"),
        ("strlen $a", ":4"),
        ("strlen $none", ":0"),
        ("set $b 'Hello World'", "+OK"),
        ("getrange $b 0 4", "$5 Hello"),
        ("getrange $b -5 -1", "$5 World"),
        ("getrange $b 5 2", "$0"),
        ("getrange $b 100 200", "$0"),
        ("getrange $b -100 2", "$3 Hel"),
        ("getrange $none 0 -1", "$0"),
        ("getrange $b a b", NO_INTEGER),
        ("setrange $b 6 Redis", ":11"),
        ("get $b", "$11 Hello Redis"),
        ("setrange $c 2 x", ":3"),
        ("strlen $c", ":3"),
        ("setrange $d 10 ''", ":0"),
        ("exists $d", ":0"),
        ("setrange $b -1 a", "-ERR offset is out of range"),
        (
            "setrange $b 99999999999 a",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
    ],
    &[
        ("mset $a 1 $b 2 $a 3", "+OK"),
        ("mget $a $b $none", "*3 $1 3 $1 2 $-1"),
        (
            "mset $a 1 $b",
            "-ERR wrong number of arguments for 'mset' command",
        ),
        ("msetnx $c 1 $d 2", ":1"),
        ("msetnx $d 3 $e 4", ":0"),
        ("mget $c $d $e", "*3 $1 1 $1 2 $-1"),
        ("msetnx $f 1 $f 2", ":1"),
        ("get $f", "$1 2"),
    ],
    &[
        ("incr $a", ":1"),
        ("incrby $a 10", ":11"),
        ("decr $a", ":10"),
        ("decrby $a 15", ":-5"),
        ("get $a", "$2 -5"),
        ("append $a 1", ":3"),
        ("incr $a", ":-50"),
        ("incrby $a abc", NO_INTEGER),
        ("set $a abc", "+OK"),
        ("incr $a", NO_INTEGER),
        ("set $a 9223372036854775807", "+OK"),
        ("incr $a", "-ERR increment or decrement would overflow"),
        (
            "decrby $a -9223372036854775808",
            "-ERR decrement would overflow",
        ),
        ("set $a ' 1'", "+OK"),
        ("incr $a", NO_INTEGER),
        ("set $a 5 ex 100", "+OK"),
        ("incr $a", ":6"),
        ("ttl $a", ":100"),
        ("incrbyfloat $b 1.5", "$3 1.5"),
        ("incrbyfloat $b 0.1", "$3 1.6"),
        ("incrbyfloat $b -1.6", "$1 0"),
        ("incrbyfloat $b abc", NO_FLOAT),
        ("set $b 3.0e3", "+OK"),
        ("incrbyfloat $b 200", "$4 3200"),
        (
            "incrbyfloat $b inf",
            "-ERR increment would produce NaN or Infinity",
        ),
    ],
    &[
        ("set $a 1", "+OK"),
        ("type $a", "+string"),
        ("type $none", "+none"),
        ("set $b 1", "+OK"),
        ("exists $a $b $a $none", ":3"),
        ("touch $a $none", ":1"),
        ("del $a $none", ":1"),
        ("unlink $a $b", ":1"),
        ("exists $a $b", ":0"),
    ],
    &[
        ("set $a 1", "+OK"),
        ("expire $a 100", ":1"),
        ("ttl $a", ":100"),
        ("persist $a", ":1"),
        ("persist $a", ":0"),
        ("ttl $a", ":-1"),
        ("ttl $none", ":-2"),
        ("pttl $none", ":-2"),
        ("expiretime $none", ":-2"),
        ("expire $none 10", ":0"),
        ("expire $a 100 nx", ":1"),
        ("expire $a 100 nx", ":0"),
        ("expire $a 200 xx", ":1"),
        ("expire $a 100 gt", ":0"),
        ("expire $a 100 lt", ":1"),
        ("persist $a", ":1"),
        ("expire $a 100 gt", ":0"),
        ("expire $a 100 lt", ":1"),
        ("expireat $a 99999999999", ":1"),
        ("expiretime $a", ":99999999999"),
        (
            "expire $a 100 nx xx",
            "-ERR NX and XX, GT or LT options at the same time are not compatible",
        ),
        (
            "expire $a 100 gt lt",
            "-ERR GT and LT options at the same time are not compatible",
        ),
        ("expire $a 100 foo", "-ERR Unsupported option foo"),
        ("expire $a abc", NO_INTEGER),
        (
            "expire $a 9223372036854775807",
            "-ERR invalid expire time in 'expire' command",
        ),
        ("expire $a -1", ":1"),
        ("exists $a", ":0"),
        ("set $a 1", "+OK"),
        ("pexpireat $a -5", ":1"),
        ("exists $a", ":0"),
    ],
    &[
        ("set $a 1 ex 100", "+OK"),
        ("rename $a $b", "+OK"),
        ("ttl $b", ":100"),
        ("exists $a", ":0"),
        ("rename $a $b", "-ERR no such key"),
        ("set $a 1", "+OK"),
        ("renamenx $a $b", ":0"),
        ("renamenx $a $c", ":1"),
        ("get $c", "$1 1"),
        ("rename $c $c", "+OK"),
        ("renamenx $c $c", ":0"),
        ("copy $b $d", ":1"),
        ("ttl $d", ":100"),
        ("copy $c $d", ":0"),
        ("copy $c $d replace", ":1"),
        ("ttl $d", ":-1"),
        (
            "copy $c $c",
            "-ERR source and destination objects are the same",
        ),
        ("copy $none $d", ":0"),
        ("copy $c $d db x", NO_INTEGER),
        ("copy $c $d foo", SYNTAX),
    ],
    &[
        ("set $a 1", "+OK"),
        ("object encoding $a", "$3 int"),
        ("set $a abc", "+OK"),
        ("object encoding $a", "$6 embstr"),
        ("object encoding $none", "$-1"),
    ],
]);

#[tokio::test]
async fn one_node_answers_as_redis_does() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    TABLE.check(&mut client, "").await;
    node.stop().await.unwrap();
}
