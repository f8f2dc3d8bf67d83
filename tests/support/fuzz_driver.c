/*
 * Stands in for libFuzzer where it is not linked: gives a fuzz target each file of the folders named,
 * whole and then cut at every byte (small files) or at a few hundred places. Each input lies in a
 * block of just its size, so that a sanitizer sees a step beyond it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS = 512 };

static void
try_bytes(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);

    if (exact == NULL)
        abort();
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void
try_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t size = 0, step;

    if (file == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    for (size_t got = 1; got > 0; size += got) {
        bytes = realloc(bytes, size + 65536);
        if (bytes == NULL)
            abort();
        got = fread(bytes + size, 1, 65536, file);
    }
    fclose(file);
    try_bytes(bytes, size);
    step = size / CUTS + 1;
    for (size_t cut = 0; cut < size; cut += step)
        try_bytes(bytes, cut);
    free(bytes);
}

int
main(int argc, char **argv)
{
    size_t files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *entry;
        char path[4096];

        if (folder == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        while ((entry = readdir(folder)) != NULL) {
            if (entry->d_name[0] == '.')
                continue;
            if (snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name) >= (int)sizeof path)
                abort();
            try_file(path);
            files++;
        }
        closedir(folder);
    }
    printf("%zu passed, 0 failed\n", files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
