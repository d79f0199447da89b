//! Prints where a library or program would be probed: `points FILE...`. For looking, not for use.

#[cfg(target_os = "linux")]
fn main() {
    for path in std::env::args().skip(1) {
        for point in pulka_probe::library::points(std::path::Path::new(&path)) {
            println!("{path}: {point:?}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
