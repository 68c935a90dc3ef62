//! The smallest program that can start plugins: its first line lets it become the launcher.
//! The crate's integration tests use it in that role.

fn main() {
    provara_plugins::launch::maybe_become_launcher();
    println!("This program starts plugins; see the documentation of provara_plugins::host.");
}
