/* spike: runs a script that describes a network of neurons, and prints its spikes.
 *
 *   neurons N                               how many; comes first
 *   ring WEIGHT DELAY                       each neuron excites the next
 *   connect FROM TO WEIGHT DELAY            one more synapse
 *   stimulate NEURON CURRENT FROM UNTIL     mV per ms, from and until in ms
 *   run MS                                  one line "time neuron" for each spike
 *
 * `#` begins a comment, hence a script may begin with `#!` and be a program itself.
 */
#include <spike.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
    const char *file;
    unsigned line;
    size_t neurons;
    struct spike_network *network;
};

static void fail(const struct script *s, const char *what)
{
    fprintf(stderr, "spike: %s:%u: %s\n", s->file, s->line, what);
    exit(2);
}

static void print_spike(void *context, unsigned milliseconds, size_t neuron)
{
    (void)context;
    printf("%u %zu\n", milliseconds, neuron);
}

static void ring(struct script *s, double weight, unsigned delay)
{
    for (size_t i = 0; i < s->neurons; i++)
        if (spike_network_connect(s->network, i, (i + 1) % s->neurons, weight, delay) != 0)
            fail(s, "a delay is 1 to 63 ms");
}

static void statement(struct script *s, const char *text)
{
    size_t a, b;
    unsigned from, until;
    double x;
    if (sscanf(text, " neurons %zu", &a) == 1) {
        if (s->network != NULL)
            fail(s, "`neurons` may stand only once");
        if (a == 0 || a > 10000)
            fail(s, "a network has 1 to 10000 neurons");
        s->neurons = a;
        s->network = spike_network_new(a);
        if (s->network == NULL)
            fail(s, "no memory");
        return;
    }
    if (s->network == NULL)
        fail(s, "`neurons N` must come first");
    if (sscanf(text, " ring %lf %u", &x, &from) == 2)
        ring(s, x, from);
    else if (sscanf(text, " connect %zu %zu %lf %u", &a, &b, &x, &from) == 4) {
        if (spike_network_connect(s->network, a, b, x, from) != 0)
            fail(s, "no such neuron, or a delay that is not 1 to 63 ms");
    } else if (sscanf(text, " stimulate %zu %lf %u %u", &a, &x, &from, &until) == 4) {
        if (spike_network_stimulate(s->network, a, x, from, until) != 0)
            fail(s, "no such neuron");
    } else if (sscanf(text, " run %u", &until) == 1)
        spike_network_run(s->network, until, print_spike, NULL);
    else
        fail(s, "expected: neurons, ring, connect, stimulate or run");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("spike %s with libspike %s\n", SPIKE_VERSION, spike_version());
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--library") == 0) {
        puts(spike_library_file());
        return 0;
    }
    if (argc != 2) {
        fprintf(stderr, "usage: spike SCRIPT | --version | --library\n");
        return 2;
    }
    struct script s = {argv[1], 0, 0, NULL};
    FILE *f = fopen(s.file, "r");
    if (f == NULL) {
        perror(s.file);
        return 1;
    }
    char text[4096];
    while (fgets(text, sizeof text, f) != NULL) {
        s.line++;
        text[strcspn(text, "#\n")] = '\0';
        if (text[strspn(text, " \t")] != '\0')
            statement(&s, text);
    }
    fclose(f);
    spike_network_free(s.network);
    return 0;
}
