/* libspike: networks of leaky integrate-and-fire neurons in steps of one millisecond. */
#ifndef SPIKE_H
#define SPIKE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spike_network;

/* Called once for every spike, in order of time, then of neuron. */
typedef void spike_callback(void *context, unsigned milliseconds, size_t neuron);

/* A network of `neurons` unconnected neurons at rest; NULL if there is no memory. */
struct spike_network *spike_network_new(size_t neurons);
void spike_network_free(struct spike_network *network);

/* All of these return 0, or -1 for a neuron that does not exist, a delay of 0 or above
 * SPIKE_MAX_DELAY, or exhausted memory. Weights and currents are in millivolts. */
#define SPIKE_MAX_DELAY 63u
int spike_network_connect(struct spike_network *network, size_t from, size_t to, double weight,
                          unsigned delay_ms);
int spike_network_stimulate(struct spike_network *network, size_t neuron, double current,
                            unsigned from_ms, unsigned until_ms);

/* Goes on for `milliseconds` and returns the number of spikes. `callback` may be NULL. */
size_t spike_network_run(struct spike_network *network, unsigned milliseconds,
                         spike_callback *callback, void *context);

/* Version of the library that was loaded, and the file that it was loaded from. */
const char *spike_version(void);
const char *spike_library_file(void);

#ifdef __cplusplus
}
#endif
#endif
