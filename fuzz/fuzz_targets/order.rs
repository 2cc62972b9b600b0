#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pumice_host_api::fuzz::order(input));
