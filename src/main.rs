fn main() {
    std::process::exit(gannet::cli::main(std::env::args_os()));
}
