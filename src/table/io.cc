#include "table/io.h"

namespace evodb::table {
namespace {

struct Performer {
  store::ObjectStore& store;
  Catalog& catalog;

  IoResponse operator()(const PutObjects& put) const {
    std::vector<store::NewObject> objects;
    for (const auto& object : put.objects) objects.push_back({object.key, *object.bytes});
    EVODB_TRY(store.put_all(objects));
    return IoValue{};
  }
  IoResponse operator()(const GetObject& get) const {
    return IoValue{.bytes = EVODB_TRY(store.get(get.key))};
  }
  IoResponse operator()(const RemoveObject& remove) const {
    EVODB_TRY(store.remove(remove.key));
    return IoValue{};
  }
  IoResponse operator()(const ListObjects& list) const {
    return IoValue{.objects = EVODB_TRY(store.list(list.prefix))};
  }
  IoResponse operator()(const LoadTable& load) const {
    return IoValue{.metadata_location = EVODB_TRY(catalog.load(load.table))};
  }
  IoResponse operator()(const SwapTable& swap) const {
    EVODB_TRY(catalog.swap(swap.writer, swap.table, swap.expected, swap.metadata_location));
    return IoValue{};
  }
};

}  // namespace

IoResponse perform(store::ObjectStore& store, Catalog& catalog, const IoRequest& request) {
  return std::visit(Performer{store, catalog}, request);
}

}  // namespace evodb::table
