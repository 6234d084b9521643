/* Stands in for NVIDIA's driver and for NVRTC: one GPU whose memory is the processor's and whose kernels do nothing
 * but say the sizes that they are compiled with. A function a line, so that each can be left out; ANSWER is what all
 * of them return. */
#include <stdlib.h>
#include <string.h>

#ifndef ANSWER
#define ANSWER 0
#define GPUS 1
#else
#define GPUS 0
#endif
#ifndef VERSION
#define VERSION 12
#endif
#ifndef SIZES
#define SIZES {0, 0, 0, 0, 0}
#endif

static const unsigned sizes[5] = SIZES;
static int launch(const char *kernel, void **arguments) { if (!strcmp(kernel, "sizes")) memcpy(*(void **)*arguments, sizes, sizeof sizes); return ANSWER; }

int cuCtxGetCurrent(void **context) { *context = 0; return ANSWER; }
int cuCtxSetCurrent(void *context) { (void)context; return ANSWER; }
int cuCtxSynchronize(void) { return ANSWER; }
int cuDeviceGet(int *device, int number) { *device = number; return ANSWER; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { (void)attribute, (void)device; *value = 4; return ANSWER; }
int cuDeviceGetCount(int *count) { *count = GPUS; return ANSWER; }
int cuDeviceGetName(char *name, int length, int device) { (void)device; strncpy(name, "a stand-in", (size_t)length); return ANSWER; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return ANSWER; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)sizes; return ANSWER; }
int cuDriverGetVersion(int *version) { *version = 1000 * VERSION; return ANSWER; }
int cuGetErrorString(int error, const char **text) { (void)error; *text = "so says the stand-in"; return 0; }
int cuInit(unsigned flags) { (void)flags; return ANSWER; }
int cuLaunchCooperativeKernel(void *kernel, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned shared, void *stream, void **arguments) { (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)shared, (void)stream; return launch(kernel, arguments); }
int cuLaunchKernel(void *kernel, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned shared, void *stream, void **arguments, void **more) { (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)shared, (void)stream, (void)more; return launch(kernel, arguments); }
int cuMemAlloc_v2(unsigned long long *address, size_t bytes) { *address = (unsigned long long)calloc(1, bytes); return ANSWER; }
int cuMemFree_v2(unsigned long long address) { free((void *)address); return ANSWER; }
int cuMemGetInfo_v2(size_t *left, size_t *all) { *left = *all = (size_t)1 << 30; return ANSWER; }
int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t bytes) { memcpy(to, (void *)from, bytes); return ANSWER; }
int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t bytes) { memcpy((void *)to, from, bytes); return ANSWER; }
int cuModuleGetFunction(void **kernel, void *module, const char *name) { (void)module; *kernel = strdup(name); return ANSWER; }
int cuModuleLoadData(void **module, const void *image) { (void)image; *module = (void *)sizes; return ANSWER; }
int cuModuleUnload(void *module) { (void)module; return ANSWER; }
int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, void *kernel, int threads, size_t shared, unsigned flags) { (void)kernel, (void)threads, (void)shared, (void)flags; *blocks = 1; return 34; }
int nvrtcCompileProgram(void *program, int count, const char *const *options) { (void)program, (void)count, (void)options; return ANSWER; }
int nvrtcCreateProgram(void **program, const char *text, const char *name, int count, const char *const *headers, const char *const *names) { (void)text, (void)name, (void)count, (void)headers, (void)names; *program = (void *)sizes; return ANSWER; }
int nvrtcDestroyProgram(void **program) { *program = 0; return ANSWER; }
int nvrtcGetCUBIN(void *program, char *binary) { (void)program; *binary = 0; return ANSWER; }
int nvrtcGetCUBINSize(void *program, size_t *bytes) { (void)program; *bytes = 1; return ANSWER; }
int nvrtcGetPTX(void *program, char *assembly) { (void)program; *assembly = 0; return ANSWER; }
int nvrtcGetPTXSize(void *program, size_t *bytes) { (void)program; *bytes = 1; return ANSWER; }
int nvrtcGetProgramLog(void *program, char *log) { (void)program; *log = 0; return ANSWER; }
int nvrtcGetProgramLogSize(void *program, size_t *bytes) { (void)program; *bytes = 1; return ANSWER; }
int nvrtcVersion(int *major, int *minor) { *major = VERSION; *minor = 0; return ANSWER; }
