#define _GNU_SOURCE
#include "spike.h"

#include <dlfcn.h>
#include <stdlib.h>

#define THRESHOLD 15.0     /* mV above rest */
#define LEAK 0.9           /* part of the potential that is left after one millisecond */
#define REFRACTORY 3u      /* ms */
#define SLOTS (SPIKE_MAX_DELAY + 1u)

struct synapse {
    size_t from, to;
    double weight;
    unsigned delay;
};

struct stimulus {
    size_t neuron;
    double current;
    unsigned from, until;
};

struct spike_network {
    size_t neurons, synapses, stimuli;
    unsigned now;
    double *potential;
    unsigned *silent_until;
    double *arriving;          /* SLOTS rows of one value per neuron, a ring in time */
    struct synapse *synapse;
    struct stimulus *stimulus;
};

struct spike_network *spike_network_new(size_t neurons)
{
    struct spike_network *n = calloc(1, sizeof *n);
    if (n == NULL)
        return NULL;
    n->neurons = neurons;
    n->potential = calloc(neurons + 1, sizeof *n->potential);
    n->silent_until = calloc(neurons + 1, sizeof *n->silent_until);
    n->arriving = calloc(neurons + 1, SLOTS * sizeof *n->arriving);
    if (n->potential == NULL || n->silent_until == NULL || n->arriving == NULL) {
        spike_network_free(n);
        return NULL;
    }
    return n;
}

void spike_network_free(struct spike_network *n)
{
    if (n == NULL)
        return;
    free(n->potential);
    free(n->silent_until);
    free(n->arriving);
    free(n->synapse);
    free(n->stimulus);
    free(n);
}

/* Room for one more; grows in powers of two. */
static void *room_for_one_more(void *items, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return items;
    return realloc(items, (count == 0 ? 1 : 2 * count) * size);
}

int spike_network_connect(struct spike_network *n, size_t from, size_t to, double weight,
                          unsigned delay_ms)
{
    if (from >= n->neurons || to >= n->neurons || delay_ms == 0 || delay_ms > SPIKE_MAX_DELAY)
        return -1;
    struct synapse *all = room_for_one_more(n->synapse, n->synapses, sizeof *all);
    if (all == NULL)
        return -1;
    n->synapse = all;
    n->synapse[n->synapses++] = (struct synapse){from, to, weight, delay_ms};
    return 0;
}

int spike_network_stimulate(struct spike_network *n, size_t neuron, double current,
                            unsigned from_ms, unsigned until_ms)
{
    if (neuron >= n->neurons)
        return -1;
    struct stimulus *all = room_for_one_more(n->stimulus, n->stimuli, sizeof *all);
    if (all == NULL)
        return -1;
    n->stimulus = all;
    n->stimulus[n->stimuli++] = (struct stimulus){neuron, current, from_ms, until_ms};
    return 0;
}

static void deliver(struct spike_network *n, size_t from)
{
    for (size_t s = 0; s < n->synapses; s++) {
        const struct synapse *y = &n->synapse[s];
        if (y->from == from)
            n->arriving[(n->now + y->delay) % SLOTS * n->neurons + y->to] += y->weight;
    }
}

size_t spike_network_run(struct spike_network *n, unsigned milliseconds, spike_callback *callback,
                         void *context)
{
    size_t spikes = 0;
    for (unsigned step = 0; step < milliseconds; step++, n->now++) {
        double *input = &n->arriving[n->now % SLOTS * n->neurons];
        for (size_t s = 0; s < n->stimuli; s++) {
            const struct stimulus *t = &n->stimulus[s];
            if (n->now >= t->from && n->now < t->until)
                input[t->neuron] += t->current;
        }
        for (size_t i = 0; i < n->neurons; i++) {
            double in = input[i];
            input[i] = 0.0;
            if (n->now < n->silent_until[i])
                continue;
            n->potential[i] = n->potential[i] * LEAK + in;
            if (n->potential[i] < THRESHOLD)
                continue;
            n->potential[i] = 0.0;
            n->silent_until[i] = n->now + REFRACTORY;
            spikes++;
            deliver(n, i);
            if (callback != NULL)
                callback(context, n->now, i);
        }
    }
    return spikes;
}

const char *spike_version(void)
{
    return SPIKE_VERSION;
}

const char *spike_library_file(void)
{
    static const char here;
    Dl_info info;
    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL)
        return "(unknown)";
    return info.dli_fname;
}
