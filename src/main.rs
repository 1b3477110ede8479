fn main() {
    std::process::exit(gannet::cli::main());
}
