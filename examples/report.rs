//! Makes a page of any run's folder, and prints its summary.
//!
//! ```text
//! cargo run --release --example report -- target/mnist_rbm
//! ```

use clap::Parser;
use harmonium::report::Report;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a page of any run's folder, report.html, and prints its summary.
#[derive(Parser)]
struct Settings {
    /// The folder that a run wrote
    folder: PathBuf,
}

fn main() -> ExitCode {
    let folder = Settings::parse().folder;
    let made = Report::read(&folder).and_then(|report| Ok((report.write(&folder)?, report)));
    match made {
        Ok((path, report)) => {
            let _ = writeln!(std::io::stdout(), "{report}\nreport: {}", path.display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
