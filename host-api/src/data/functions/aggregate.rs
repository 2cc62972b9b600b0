//! `sum` and `avg` as PostgreSQL answers them: exact but for floats.

use super::type_of;
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::{DataError, Type, Value, ValueRef};

/// Of a limb of an exact sum: nine decimal digits.
const BASE: u64 = 1_000_000_000;
const LIMB_DIGITS: usize = 9;
/// Source: PostgreSQL 15, `select_div_scale` in `src/backend/utils/adt/numeric.c`.
const QUOTIENT_DIGITS_MIN: i64 = 16;
const QUOTIENT_SCALE_MAX: i64 = 1000;
/// More digits than any numeric has before its point.
const ANY_DIGITS: u32 = 200_000;

pub(super) fn register(connection: &Connection) -> Result<(), SqliteError> {
    connection.aggregate("pumice_sum", 2, step, |sum: Sum| sum.total())?;
    connection.aggregate("pumice_avg", 2, step, |sum: Sum| sum.average())
}

#[derive(Default)]
struct Sum {
    form: Option<Type>,
    count: u64,
    integers: i128,
    above: Exact,
    below: Exact,
    /// Digits after the point of the value that has most.
    scale: usize,
    nan: bool,
    infinite: bool,
    minus_infinite: bool,
    float: f64,
    /// A sum of reals, which is a real after each step; their average is not.
    narrow: f32,
    /// Squared deviations: PostgreSQL keeps them with an average too, and refuses when they overflow.
    deviations: f64,
    sum_overflows: bool,
    average_overflows: bool,
}

fn step(sum: &mut Sum, args: &[ValueRef<'_>]) -> Result<(), DataError> {
    let [value, form] = args else {
        return Ok(());
    };
    if *value == ValueRef::Null {
        return Ok(());
    }
    if sum.form.is_none() {
        sum.form = Some(type_of(*form)?);
    }
    sum.count += 1;
    match (&sum.form, *value) {
        (Some(Type::Smallint | Type::Integer | Type::Bigint), ValueRef::Integer(number)) => {
            sum.integers += i128::from(number);
        }
        (Some(Type::Numeric { .. }), ValueRef::Text(number)) => match number {
            "NaN" => sum.nan = true,
            "Infinity" => sum.infinite = true,
            "-Infinity" => sum.minus_infinite = true,
            number => {
                let (side, digits) = match number.strip_prefix('-') {
                    Some(digits) => (&mut sum.below, digits),
                    None => (&mut sum.above, number),
                };
                sum.scale = sum.scale.max(side.add(digits));
            }
        },
        (Some(Type::Real), ValueRef::Real(number)) => sum.float(number, true),
        (Some(Type::DoublePrecision), ValueRef::Real(number)) => sum.float(number, false),
        (Some(Type::Real), ValueRef::Text("NaN")) => sum.float(f64::NAN, true),
        (Some(Type::DoublePrecision), ValueRef::Text("NaN")) => sum.float(f64::NAN, false),
        (form, _) => {
            let name = form.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(DataError::sql(
                "0A000",
                format!("sum and avg of type {name} are not supported on SQLite"),
            ));
        }
    }
    Ok(())
}

impl Sum {
    fn float(&mut self, number: f64, real: bool) {
        let before = self.float;
        self.float += number;
        if real {
            let before = self.narrow;
            self.narrow += number as f32;
            self.sum_overflows |=
                self.narrow.is_infinite() && before.is_finite() && number.is_finite();
        } else {
            self.sum_overflows |=
                self.float.is_infinite() && before.is_finite() && number.is_finite();
        }
        if self.count > 1 {
            let count = self.count as f64;
            let deviation = number * count - self.float;
            self.deviations += deviation * deviation / (count * (count - 1.0));
            if self.float.is_infinite() || self.deviations.is_infinite() {
                self.average_overflows |= before.is_finite() && number.is_finite();
                self.deviations = f64::NAN;
            }
        } else if !number.is_finite() {
            self.deviations = f64::NAN;
        }
    }

    fn total(self) -> Result<Value, DataError> {
        let overflow = || DataError::sql("22003", "value out of range: overflow");
        match &self.form {
            None => Ok(Value::Null),
            Some(Type::Smallint | Type::Integer) => i64::try_from(self.integers)
                .map(Value::Integer)
                .map_err(|_| DataError::sql("22003", "bigint out of range")),
            Some(Type::Bigint) => Ok(Value::Text(self.integers.to_string())),
            Some(Type::Real) => real(f64::from(self.narrow), self.sum_overflows, overflow),
            Some(Type::DoublePrecision) => real(self.float, self.sum_overflows, overflow),
            Some(_) => match self.special() {
                Some(special) => Ok(special),
                None => {
                    let scale = self.scale;
                    let (negative, difference) = self.above.minus(self.below);
                    numeric(negative, &difference.digits(), scale)
                }
            },
        }
    }

    fn average(self) -> Result<Value, DataError> {
        let overflow = || DataError::sql("22003", "value out of range: overflow");
        let (negative, mut total) = match &self.form {
            None => return Ok(Value::Null),
            Some(Type::Real | Type::DoublePrecision) => {
                return real(
                    self.float / self.count as f64,
                    self.average_overflows,
                    overflow,
                );
            }
            Some(Type::Smallint | Type::Integer | Type::Bigint) => {
                let mut total = Exact::default();
                total.add(&self.integers.unsigned_abs().to_string());
                (self.integers < 0, total)
            }
            Some(_) => match self.special() {
                Some(special) => return Ok(special),
                None => self.above.minus(self.below),
            },
        };
        let (weight, first) = lead(&total.digits());
        let (count_weight, count_first) = lead(&(self.count.to_string(), String::new()));
        let weight = weight - count_weight - i64::from(first <= count_first);
        let scale = (QUOTIENT_DIGITS_MIN - weight * 4)
            .max(self.scale as i64)
            .clamp(0, QUOTIENT_SCALE_MAX) as usize;
        total.divide(self.count, scale + 1);
        numeric(negative, &total.digits(), scale)
    }

    fn special(&self) -> Option<Value> {
        let word = match (self.nan, self.infinite, self.minus_infinite) {
            (false, false, false) => return None,
            (false, true, false) => "Infinity",
            (false, false, true) => "-Infinity",
            _ => "NaN",
        };
        Some(Value::Text(word.to_owned()))
    }
}

fn real(
    number: f64,
    overflowed: bool,
    overflow: impl Fn() -> DataError,
) -> Result<Value, DataError> {
    if overflowed {
        return Err(overflow());
    }
    Ok(match number.is_nan() {
        true => Value::Text("NaN".to_owned()),
        false => Value::Real(number),
    })
}

fn numeric(negative: bool, digits: &(String, String), scale: usize) -> Result<Value, DataError> {
    let sign = if negative { "-" } else { "" };
    let text = format!("{sign}{}.{}", digits.0, digits.1);
    let rounded = Type::Numeric {
        precision: Some((ANY_DIGITS, scale as u32)),
    };
    rounded.from_field(&text)
}

/// Where the first digit of base 10000 that is not zero stands, and that digit.
fn lead((whole, fraction): &(String, String)) -> (i64, u32) {
    let whole = whole.trim_start_matches('0');
    if !whole.is_empty() {
        let groups = whole.len().div_ceil(4);
        let first = &whole[..whole.len() - (groups - 1) * 4];
        return (groups as i64 - 1, first.parse().unwrap_or(0));
    }
    for (index, group) in fraction.as_bytes().chunks(4).enumerate() {
        let digit = |place: usize| u32::from(group.get(place).unwrap_or(&b'0') - b'0');
        let value = (0..4).fold(0, |value, place| value * 10 + digit(place));
        if value > 0 {
            return (-(index as i64) - 1, value);
        }
    }
    (0, 0)
}

/// A decimal from zero up, in limbs of nine digits.
#[derive(Default)]
struct Exact {
    /// Least first.
    whole: Vec<u32>,
    /// Greatest first.
    fraction: Vec<u32>,
}

impl Exact {
    /// Adds plain digits with or without a point; answers how many stand after it.
    fn add(&mut self, number: &str) -> usize {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let limbs = fraction.len().div_ceil(LIMB_DIGITS);
        if limbs > self.fraction.len() {
            self.fraction.resize(limbs, 0);
        }
        let mut carry = 0;
        for (at, chunk) in fraction.as_bytes().chunks(LIMB_DIGITS).enumerate().rev() {
            let padded = 10_u64.pow((LIMB_DIGITS - chunk.len()) as u32);
            carry = put(&mut self.fraction[at], value(chunk) * padded, carry);
        }
        let mut chunks = whole.as_bytes().rchunks(LIMB_DIGITS);
        let mut at = 0;
        loop {
            let chunk = chunks.next();
            if chunk.is_none() && carry == 0 {
                return fraction.len();
            }
            if at == self.whole.len() {
                self.whole.push(0);
            }
            carry = put(&mut self.whole[at], chunk.map_or(0, value), carry);
            at += 1;
        }
    }

    /// The difference, and whether it is below zero.
    fn minus(mut self, mut other: Exact) -> (bool, Exact) {
        let whole = self.whole.len().max(other.whole.len());
        let fraction = self.fraction.len().max(other.fraction.len());
        for side in [&mut self, &mut other] {
            side.whole.resize(whole, 0);
            side.fraction.resize(fraction, 0);
        }
        let order = self.whole.iter().rev().cmp(other.whole.iter().rev());
        let negative = order
            .then_with(|| self.fraction.cmp(&other.fraction))
            .is_lt();
        let (mut large, small) = if negative {
            (other, self)
        } else {
            (self, other)
        };
        let mut borrow = 0;
        let limbs = large.fraction.iter_mut().rev().chain(&mut large.whole);
        for (limb, less) in limbs.zip(small.fraction.iter().rev().chain(&small.whole)) {
            let less = i64::from(*less) + borrow;
            let rest = i64::from(*limb) - less;
            borrow = i64::from(rest < 0);
            *limb = (rest + borrow * BASE as i64) as u32;
        }
        (negative, large)
    }

    /// Divides, with at least `places` digits after the point; the rest is cut.
    fn divide(&mut self, by: u64, places: usize) {
        let limbs = places.div_ceil(LIMB_DIGITS).max(self.fraction.len());
        self.fraction.resize(limbs, 0);
        let mut rest = 0_u128;
        for limb in self.whole.iter_mut().rev().chain(&mut self.fraction) {
            let here = rest * u128::from(BASE) + u128::from(*limb);
            *limb = (here / u128::from(by.max(1))) as u32;
            rest = here % u128::from(by.max(1));
        }
    }

    /// The digits before and after the point.
    fn digits(&self) -> (String, String) {
        let mut whole: String = self
            .whole
            .iter()
            .rev()
            .map(|limb| format!("{limb:09}"))
            .collect();
        if whole.is_empty() {
            whole.push('0');
        }
        let fraction = self.fraction.iter().map(|limb| format!("{limb:09}"));
        (whole, fraction.collect())
    }
}

fn put(limb: &mut u32, more: u64, carry: u64) -> u64 {
    let sum = u64::from(*limb) + more + carry;
    *limb = (sum % BASE) as u32;
    sum / BASE
}

fn value(digits: &[u8]) -> u64 {
    let digits = digits.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}
