//! What checks of tokens and hashes of passwords cost by themselves, without a server around them.
//! `cargo xtask bench auth` runs it:
//!
//!   auth tokens <checks>         nanoseconds for one check of each sort
//!   auth hashes <milliseconds>   argon2 hashes a second of all processors together
//!
//! Both print JSON.

use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use pumice_host_api::{AppId, Caller};
use pumice_runtime::limits;
use pumice_runtime::services::auth::AppKeys;
use pumice_runtime::services::auth::extract;
use pumice_runtime::services::auth::keys::api::{ApiKeyKind, Scope, StoredApiKey};
use pumice_runtime::services::auth::keys::stored::{KeyState, StoredKey};
use serde_json::{Map, Value, json};
use uuid::Uuid;

// As in the server: argon2's memory and the cache of tokens come from it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds `--bench`.
    let arguments = std::env::args().skip(1);
    let arguments: Vec<String> = arguments.filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = match words[..] {
        ["tokens", checks] => tokens(checks.parse()?)?,
        ["hashes", milliseconds] => hashes(Duration::from_millis(milliseconds.parse()?))?,
        [] => json!({
            "tokens": tokens(1_000_000)?, "hashes": hashes(Duration::from_secs(5))?,
        }),
        _ => return Err(anyhow!("auth tokens <checks> | hashes <milliseconds>")),
    };
    println!("{figures}");
    Ok(())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does the same on each of [`threads`].
fn on_all<T: Send>(work: impl Fn() -> anyhow::Result<T> + Sync) -> anyhow::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads()).map(|_| scope.spawn(&work)).collect();
        let done = threads.into_iter().map(|thread| {
            let done = thread.join().map_err(|_| anyhow!("a thread broke"));
            done?
        });
        done.collect()
    })
}

/// A user's token as `/auth/v1` signs it; `number` makes it another one.
fn claims(now: u64, number: u64) -> Map<String, Value> {
    let claims = json!({
        "iss": "http://127.0.0.1:8787/a/bench/auth/v1",
        "sub": Uuid::from_u128(u128::from(number)),
        "aud": "authenticated",
        "exp": now + 3600,
        "iat": now,
        "email": format!("user{number}@bench.example"),
        "phone": "",
        "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": { "email": format!("user{number}@bench.example"), "email_verified": true },
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{ "method": "password", "timestamp": now }],
        "session_id": Uuid::new_v4(),
        "is_anonymous": false,
    });
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

/// What a request pays before it is known who sends it: reading the headers, and the check.
fn check(keys: &AppKeys, headers: &HeaderMap) -> anyhow::Result<Caller> {
    extract::gate(keys, headers, Scope::Rest)?;
    Ok(extract::caller(keys, headers)?)
}

/// Checks the same headers again and again; nanoseconds for one.
fn again(keys: &AppKeys, headers: &HeaderMap, checks: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    for _ in 0..checks {
        std::hint::black_box(check(keys, std::hint::black_box(headers))?);
    }
    Ok(began.elapsed().as_nanos() as f64 / checks as f64)
}

fn tokens(checks: u64) -> anyhow::Result<Value> {
    ensure!(checks >= 100, "too few checks");
    let now = extract::now();
    let opaque = ApiKeyKind::Publishable.generate();
    let stored = StoredApiKey {
        id: Uuid::new_v4(),
        name: "bench".to_owned(),
        kind: ApiKeyKind::Publishable,
        digest: opaque.digest,
        shown: opaque.shown,
        scopes: None,
        created_at: String::new(),
        last_used: 0,
    };
    let first = StoredKey::first(AppId(Uuid::new_v4()), now)?;
    let keys = AppKeys::new(vec![(KeyState::InUse, first)], vec![stored])?;
    let with = |token: &str| -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert("apikey", HeaderValue::from_str(&opaque.text)?);
        let bearer = format!("Bearer {token}");
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&bearer)?);
        Ok(headers)
    };
    let user = with(&keys.sign(&claims(now, 0))?)?;
    let mut key = HeaderMap::new();
    key.insert("apikey", HeaderValue::from_str(&opaque.text)?);

    // The caches of the machine find what a server's would.
    again(&keys, &user, checks / 10)?;
    let cached = again(&keys, &user, checks)?;
    let by_key = again(&keys, &key, checks)?;
    let at_once = on_all(|| again(&keys, &user, checks))?;
    let at_once = at_once.into_iter().fold(0.0, f64::max);

    // Each of these is new to the cache, also when it has thrown others out; they are signed beforehand, in
    // blocks that all fit into it.
    let (mut new, mut done, block) = (Duration::ZERO, 0, limits::TOKENS_CACHED_MAX / 10);
    let count = (checks / 10).max(1);
    while done < count {
        let numbers = done..(done + block).min(count);
        let signed = numbers.map(|number| with(&keys.sign(&claims(now, number))?));
        let signed = signed.collect::<anyhow::Result<Vec<HeaderMap>>>()?;
        let began = Instant::now();
        for headers in &signed {
            std::hint::black_box(check(&keys, headers)?);
        }
        new += began.elapsed();
        done += signed.len() as u64;
    }
    Ok(json!({
        "cached_ns": cached,
        "at_once_ns": at_once,
        "threads": threads(),
        "key_ns": by_key,
        "new_ns": new.as_nanos() as f64 / done as f64,
        "checks": checks,
        "new_checks": done,
    }))
}

/// Hashes on as many threads as there are processors, each with memory of its own that it keeps, as the
/// server's threads do.
fn hashes(length: Duration) -> anyhow::Result<Value> {
    // Those of `services/auth/passwords/hash.rs`.
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(|error| anyhow!("{error}"))?;
    let began = Instant::now();
    let work = || -> anyhow::Result<u64> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut blocks = vec![Block::default(); params.block_count()];
        let (mut hash, mut count) = ([0; 32], 0_u64);
        while began.elapsed() < length {
            let mut salt = [0; 16];
            salt[..8].copy_from_slice(&count.to_le_bytes());
            argon2
                .hash_password_into_with_memory(b"Vq7-harbour-0", &salt, &mut hash, &mut blocks)
                .map_err(|error| anyhow!("{error}"))?;
            std::hint::black_box(&hash);
            count += 1;
        }
        Ok(count)
    };
    let hashes: u64 = on_all(work)?.into_iter().sum();
    Ok(json!({
        "per_second": hashes as f64 / began.elapsed().as_secs_f64(),
        "threads": threads(),
    }))
}
