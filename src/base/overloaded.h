// Overloaded: one function object out of several lambdas, for std::visit.
//
//   std::visit(Overloaded{[](const Ping&) { ... }, [](const Pong&) {}}, message);
//
// With one lambda for each alternative (and no generic one), a new alternative that nobody handles
// does not compile.
#pragma once

namespace evodb::base {

template <class... Function>
struct Overloaded : Function... {
  using Function::operator()...;
};

}  // namespace evodb::base
