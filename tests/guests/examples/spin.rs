//! Never answers. Stopped by: CPU or fuel.

#[pumice::function]
fn spin() {
    loop {
        std::hint::black_box(());
    }
}
