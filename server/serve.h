#pragma once
/* The verb `serve`: builds the daemon, runs it, takes it down. */

int serve(int argc, char **argv);
