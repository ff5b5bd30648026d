//! Facts and properties of placement. The numbers here are those that every node must agree on.

use proptest::prelude::*;

use super::*;

const MODULUS: u128 = (1 << 64) - 59;

/// Bytes as one big-endian number, reduced at every byte.
fn naive_big_endian(bytes: &[u8]) -> u64 {
    let step = |sum: u128, byte: &u8| (sum * 256 + u128::from(*byte)) % MODULUS;
    bytes.iter().fold(0, step) as u64
}

/// A decimal number by long division: `limbs` holds all of it, base 10^9, before any reduction.
fn long_division(digits: &str) -> u64 {
    let limbs: Vec<u128> = digits
        .as_bytes()
        .rchunks(9)
        .rev()
        .map(|limb| std::str::from_utf8(limb).unwrap().parse().unwrap())
        .collect();
    let step = |rest: u128, limb: &u128| (rest * 1_000_000_000 + limb) % MODULUS;
    limbs.iter().fold(0, step) as u64
}

/// The low 64 bits of a decimal number: it is halved 64 times, and the remainders are the bits.
fn low_bits(digits: &str) -> u64 {
    let mut number: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
    let mut bits = 0;
    for place in 0..64 {
        let mut carry = 0;
        for digit in &mut number {
            let value = carry * 10 + *digit;
            (*digit, carry) = (value / 2, value % 2);
        }
        bits |= u64::from(carry) << place;
    }
    bits
}

#[test]
fn the_modulus_is_the_largest_prime_below_two_to_the_64() {
    assert_eq!(u128::from(KEY_INTEGER_MODULUS), MODULUS);
    let power = |base: u128, mut exponent: u64, modulus: u64| {
        let (mut result, mut square) = (1u128, base % u128::from(modulus));
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * square % u128::from(modulus);
            }
            square = square * square % u128::from(modulus);
            exponent >>= 1;
        }
        result
    };
    // Miller and Rabin with the first twelve primes decides for every 64-bit number.
    let is_prime = |n: u64| {
        let shift = (n - 1).trailing_zeros();
        [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37]
            .iter()
            .all(|base| {
                let mut x = power(*base, (n - 1) >> shift, n);
                let last = u128::from(n) - 1;
                x == 1
                    || (0..shift).any(|_| {
                        let found = x == last;
                        x = x * x % u128::from(n);
                        found
                    })
            })
    };
    assert!(is_prime(KEY_INTEGER_MODULUS));
    assert!(
        (KEY_INTEGER_MODULUS + 2..=u64::MAX)
            .step_by(2)
            .all(|n| !is_prime(n))
    );
}

#[test]
fn documented_examples() {
    for (key, expected) in [
        ("0", 0),
        ("1", 1),
        ("10", 10),
        ("aa", 24_929),
        ("24929", 24_929),
        ("aaa", 6_381_921),
        ("abcd", 1_633_837_924),
        (" 1", 8_241),
        ("é", 50_089),
        // Not canonical decimals, so text.
        ("007", 0x30_30_37),
        ("00M", 0x30_30_4d),
        ("01", 0x30_31),
        ("00", 0x30_30),
        ("-0", 0x2d_30),
        ("-01", 0x2d_30_31),
        ("-", 0x2d),
        ("--1", 0x2d_2d_31),
        ("+5", 0x2b_35),
        ("1.5", 0x31_2e_35),
        ("1.0", 0x31_2e_30),
        ("1 ", 0x31_20),
        ("1e3", 0x31_65_33),
        ("12abc", 0x31_32_61_62_63),
        ("١", 0xd9_a1),
        // Two's complement, then reduced.
        ("-3", 2u64.wrapping_neg() - 1 - KEY_INTEGER_MODULUS),
        ("-1", 58),
        ("-58", 1),
        ("-59", 0),
        ("-60", KEY_INTEGER_MODULUS - 1),
        ("-9223372036854775808", 1 << 63),
        ("-18446744073709551615", 1),
        ("-18446744073709551616", 0),
        ("-18446744073709551617", 58),
        ("18446744073709551556", KEY_INTEGER_MODULUS - 1),
        ("18446744073709551557", 0),
        ("18446744073709551615", 58),
        ("18446744073709551616", 59),
    ] {
        assert_eq!(integer(key.as_bytes()), KeyInteger(expected), "{key}");
    }
    assert_eq!(integer(b"\x00a").0, 97);
    assert_eq!(integer(b"\xff\xff\xff\xff\xff\xff\xff").0, (1 << 56) - 1);
    assert_eq!(integer(b"\xff\xff\xff\xff\xff\xff\xff\xff").0, 58);
}

#[test]
fn huge_decimals() {
    // 10^n modulo the prime, by repeated multiplication, beside the text of it.
    let mut power = 1u128;
    for zeros in 0..1_000 {
        let text = format!("1{}", "0".repeat(zeros));
        assert_eq!(u128::from(integer(text.as_bytes()).0), power, "10^{zeros}");
        power = power * 10 % MODULUS;
    }
    let longest = "9".repeat(KEY_BYTES_MAX);
    assert_eq!(integer(longest.as_bytes()).0, long_division(&longest));
}

#[test]
fn the_placing_part() {
    for (key, part) in [
        ("plain", "plain"),
        ("{user}:a", "user"),
        ("a:{user}:b", "user"),
        ("a{b}{c}", "b"),
        ("{}x", "{}x"),
        ("a{}{b}", "a{}{b}"),
        ("{{a}}", "{a"),
        ("{a", "{a"),
        ("a}", "a}"),
        ("}a{b}", "b"),
        ("}{", "}{"),
        ("{", "{"),
        ("{ }", " "),
        ("{1}", "1"),
    ] {
        assert_eq!(placing_part(key.as_bytes()), part.as_bytes(), "{key}");
        let alone = KeyInteger(match part {
            "1" => 1,
            _ => naive_big_endian(part.as_bytes()),
        });
        assert_eq!(integer(key.as_bytes()), alone, "{key}");
    }
    assert_eq!(partition(b"{user:7}:name"), partition(b"cart:{user:7}"));
}

#[test]
fn partitions_that_every_node_must_agree_on() {
    // Changing any of these moves data from under a running cluster.
    for (key, expected) in PINNED {
        assert_eq!(partition(key.as_bytes()), PartitionId(*expected), "{key}");
    }
}

const PINNED: &[(&str, u16)] = &[
    ("0", 0),
    ("1", 2323),
    ("-1", 3427),
    ("aa", 3729),
    ("24929", 3729),
    ("00M", 502),
    ("SFO", 141),
    ("ci37868143", 65),
    ("{user:7}:name", 3917),
    ("550e8400-e29b-41d4-a716-446655440000", 2445),
    ("2313046976756913067", 0),
];

/// The algorithm as its paper prints it, in 128 bits, for buckets as many as partitions.
fn lamping_veach(key: u64) -> u16 {
    let mut key = u128::from(key);
    let (mut bucket, mut next) = (-1i64, 0i64);
    while next < i64::from(PARTITION_COUNT) {
        bucket = next;
        key = (key * 2_862_933_555_777_941_757 + 1) & u128::from(u64::MAX);
        let divisor = ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / divisor)) as i64;
    }
    bucket as u16
}

#[test]
fn the_key_that_overflows_plain_addition() {
    let key = "2313046976756913067";
    let integer = integer(key.as_bytes()).0;
    assert_eq!(integer.wrapping_mul(2_862_933_555_777_941_757), u64::MAX);
    assert_eq!(partition(key.as_bytes()).0, lamping_veach(integer));
}

#[test]
fn reduction_at_its_edges() {
    let top = KEY_INTEGER_MODULUS - 1;
    for sum in [0, 1, 58, 59, 1 << 63, top - 1, top] {
        for base in [10, 1 << 56, 10u64.pow(18), u64::MAX] {
            for digit in [0, 1, 58, 59, 1 << 56, u64::MAX] {
                let wide = u128::from(sum) * u128::from(base) + u128::from(digit);
                assert_eq!(u128::from(step(sum, base, digit)), wide % MODULUS);
            }
        }
    }
}

#[test]
fn lengths_of_keys() {
    assert_eq!(Key::new("", 10), Err(Error::Empty));
    assert_eq!(Key::new("abc", 3).unwrap().as_bytes(), b"abc");
    let too_long = |bytes, max| Err(Error::TooLong { bytes, max });
    assert_eq!(Key::new("abcd", 3), too_long(4, 3));
    let longest = vec![0; KEY_BYTES_MAX];
    assert_eq!(Key::check(&longest, usize::MAX), Ok(()));
    let longer = vec![0; KEY_BYTES_MAX + 1];
    let refused = too_long(KEY_BYTES_MAX + 1, KEY_BYTES_MAX).map(drop::<Key>);
    assert_eq!(Key::check(&longer, usize::MAX), refused);
}

#[test]
fn keys_print_without_control_characters() {
    let key = Key::new(&b"a\n\xff\"b"[..], 10).unwrap();
    assert_eq!(key.to_string(), r#"a\n\xff\"b"#);
    assert_eq!(format!("{key:?}"), r#"Key(a\n\xff\"b)"#);
}

proptest! {
    #[test]
    fn steps_reduce(sum in 0..KEY_INTEGER_MODULUS, base in any::<u64>(), digit in any::<u64>()) {
        let wide = u128::from(sum) * u128::from(base) + u128::from(digit);
        prop_assert_eq!(u128::from(step(sum, base, digit)), wide % MODULUS);
    }

    #[test]
    fn bytes_encode_as_one_big_endian_number(key in proptest::collection::vec(any::<u8>(), 1..200)) {
        let key: Vec<u8> = key.into_iter().map(|byte| if byte == b'{' { b'[' } else { byte }).collect();
        prop_assume!(!is_canonical_decimal(&key));
        prop_assert_eq!(integer(&key).0, naive_big_endian(&key));
    }

    #[test]
    fn short_keys_encode_exactly(key in "[a-zé:/]{1,7}") {
        prop_assume!(key.len() <= 7);
        let exact = key.bytes().fold(0u64, |sum, byte| sum * 256 + u64::from(byte));
        prop_assert_eq!(integer(key.as_bytes()).0, exact);
    }

    #[test]
    fn decimals_encode_as_themselves(number in any::<u64>()) {
        let expected = number % KEY_INTEGER_MODULUS;
        prop_assert_eq!(integer(number.to_string().as_bytes()).0, expected);
    }

    #[test]
    fn negative_decimals_encode_in_twos_complement(number in i64::MIN..0) {
        let expected = number as u64 % KEY_INTEGER_MODULUS;
        prop_assert_eq!(integer(number.to_string().as_bytes()).0, expected);
    }

    #[test]
    fn long_decimals(digits in "[1-9][0-9]{0,1000}") {
        prop_assert_eq!(integer(digits.as_bytes()).0, long_division(&digits));
        let negative = low_bits(&digits).wrapping_neg() % KEY_INTEGER_MODULUS;
        prop_assert_eq!(integer(format!("-{digits}").as_bytes()).0, negative);
    }

    #[test]
    fn tags_place(tag in "[^{}]{1,20}", before in "[^{]{0,9}", after in ".{0,9}") {
        let key = format!("{before}{{{tag}}}{after}");
        prop_assert_eq!(integer(key.as_bytes()), integer(tag.as_bytes()));
    }

    #[test]
    fn any_key_has_a_partition(key in proptest::collection::vec(any::<u8>(), 0..64)) {
        let partition = partition(&key);
        prop_assert!(partition.0 < PARTITION_COUNT);
        prop_assert_eq!(partition.0, lamping_veach(integer(&key).0));
    }

    #[test]
    fn integers_are_below_the_modulus(key in prop_oneof!["-?[0-9]{1,60}", ".{0,40}"]) {
        prop_assert!(integer(key.as_bytes()).0 < KEY_INTEGER_MODULUS);
    }
}
