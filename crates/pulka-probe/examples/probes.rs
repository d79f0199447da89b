//! How long the TLS functions of files take to be probed and let go again, in either way: `probes OBJECT ROUNDS FILE...` prints `multi|perf ATTACH_MS
//! DETACH_MS` for each, in turn. For `bench/edge.py`.

#[cfg(target_os = "linux")]
fn main() {
    use std::path::PathBuf;
    use std::time::Instant;

    use pulka_probe::{Limits, Probe, feature, library};

    let mut arguments = std::env::args().skip(1);
    let object = std::fs::read(arguments.next().expect("the object")).expect("the object can be read");
    let rounds: u32 = arguments.next().expect("rounds").parse().expect("a number of rounds");
    let files: Vec<_> = arguments.map(PathBuf::from).map(|file| (library::points(&file), file)).collect();
    assert!(!files.is_empty() && files.iter().all(|(points, _)| !points.is_empty()), "TLS functions are known of each file");
    let attached = |without: &[String]| Probe::attach(&object, Limits::default(), without).expect("attached");
    let mut ways = [("multi", attached(&[])), ("perf", attached(&[feature::UPROBE_MULTI.to_owned()]))];
    for _ in 0..rounds {
        for (name, probe) in &mut ways {
            let began = Instant::now();
            for (points, file) in &files {
                probe.attach_tls(file, points).expect("probed");
            }
            let attached = began.elapsed();
            probe.detach(feature::TLS, "measured");
            println!("{name} {:.3} {:.3}", attached.as_secs_f64() * 1e3, (began.elapsed() - attached).as_secs_f64() * 1e3);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
