#include "server/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>

namespace evodb::app {

Result<DescriptorPlan> plan_descriptors(std::uint64_t limit, std::uint32_t connections_wanted) {
  if (limit < descriptors_reserved + descriptors_for_connections_min) {
    return fail(ErrorKind::kInvalid,
                "the limit of open files is " + std::to_string(limit) + ": it must be at least " +
                    std::to_string(descriptors_reserved + descriptors_for_connections_min) +
                    "; raise it (ulimit -n)");
  }
  const std::uint64_t available = limit - descriptors_reserved;
  const std::uint64_t refusing = std::min(descriptors_refusing_max, available / 4);
  DescriptorPlan plan;
  plan.connections_max =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(connections_wanted, available - refusing));
  plan.streams_max = plan.connections_max + refusing;
  return plan;
}

std::uint64_t descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // refused: then it stays as it was
}

}  // namespace evodb::app
