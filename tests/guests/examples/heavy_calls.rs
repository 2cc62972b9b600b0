//! Calls the host for ever with much in hand: `?to=sql` sends 15 MiB statements to a service that is not
//! there, `?to=clone` copies a field of 32 KiB.

use wasi::http::types::{Fields, IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../../wit",
    world: "function",
    generate_all,
});

use self::pumice::platform::data;

struct HeavyCalls;

export!(HeavyCalls);

impl exports::wasi::http::incoming_handler::Guest for HeavyCalls {
    fn handle(request: IncomingRequest, _: ResponseOutparam) {
        let query = request.path_with_query().unwrap_or_default();
        if query.contains("to=sql") {
            let statement = " ".repeat(15 << 20);
            loop {
                let _ = data::sql(&statement, "[]");
            }
        }
        let fields = Fields::new();
        fields
            .append("x-large", &[b'x'; 32 << 10])
            .expect("it is within the limits of fields");
        loop {
            drop(fields.clone());
        }
    }
}
